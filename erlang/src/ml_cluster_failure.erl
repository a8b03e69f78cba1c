%% @doc What a failed attempt means: is the call worth trying elsewhere, and whose fault was it?
%% Pure.
-module(ml_cluster_failure).

-export([reason/2, verdict/1, outcome/1, final/1, bug/3]).
-export_type([verdict/0, outcome/0]).

%% `final': another worker would say the same. `refused': the worker did no work; asking another
%% one costs no retry. `failed': work was begun and lost; it costs a retry. `draining': as refused,
%% and the worker is to be left alone.
-type verdict() :: final | refused | failed | draining.

%% @doc The reason of a failed erpc request, as our callers see it.
-spec reason({error | exit | throw, term()}, node()) -> term().
reason({error, {exception, Reason, _Stack}}, _) -> Reason;
reason({error, {erpc, noconnection}}, Node) -> {worker_lost, Node};
reason({error, {erpc, timeout}}, _) -> deadline_exceeded;
reason({error, {erpc, Other}}, Node) -> {worker_failed, Node, Other};
reason({exit, {signal, noconnection}}, Node) -> {worker_lost, Node};
reason({exit, {exception, Reason}}, Node) -> {worker_failed, Node, Reason};
reason({exit, {signal, Reason}}, Node) -> {worker_failed, Node, Reason};
reason({_, Other}, Node) -> {worker_failed, Node, Other}.

%% What an attempt came to, as it is counted. `rejected': the request was wrong, not the worker.
%% `late': the deadline came first. `cancelled': nobody waited any more.
-type outcome() :: answered | rejected | refused | failed | late | cancelled.

-spec verdict(term()) -> verdict().
verdict({bad_argument, _, _}) -> final;
verdict({too_large, _, _, _}) -> final;
verdict({too_long, _, _, _}) -> final;
verdict(deadline_exceeded) -> final;
verdict(cancelled) -> final;
verdict(draining) -> draining;
verdict({overloaded, _}) -> refused;
%% Workers may have loaded different models, and differ in version.
verdict({unknown_model, _}) -> refused;
verdict(undef) -> refused;
verdict({option_not_taken, _}) -> refused;
verdict(_) -> failed.

%% @doc What is counted for an attempt that ended so.
-spec outcome({ok, term()} | {error, term()}) -> outcome().
outcome({ok, _}) -> answered;
outcome({error, deadline_exceeded}) -> late;
outcome({error, cancelled}) -> cancelled;
outcome({error, Reason}) -> outcome_of(verdict(Reason)).

outcome_of(final) -> rejected;
outcome_of(failed) -> failed;
outcome_of(_) -> refused.

%% @doc The reason to give to the caller when all workers have failed: the one that says most about
%% the request, and not the last one by chance. Reasons come newest first.
-spec final([term(), ...]) -> term().
final([Newest | _] = Reasons) ->
    Ranked = [{rank(Reason), Reason} || Reason <- Reasons],
    Best = lists:min([Rank || {Rank, _} <- Ranked]),
    case lists:keyfind(Best, 1, Ranked) of
        {1, {overloaded, _}} -> {overloaded, lists:min([Ms || {overloaded, Ms} <- Reasons])};
        {5, {option_not_taken, Key}} -> {bad_argument, Key, <<"expected an option that a worker names in its info(), got one that none does">>};
        {_, Reason} -> Reason;
        false -> Newest
    end.

%% @doc What may be told of a crash of ours: where it was, and nothing of what users sent.
-spec bug(error | exit | throw, term(), list()) -> {atom(), term(), [mfa()]}.
bug(Class, Reason, Stack) ->
    {Class, name(Reason), [{M, F, arity(A)} || {M, F, A, _} <- Stack]}.

name(Reason) when is_atom(Reason) -> Reason;
name(Reason) when is_tuple(Reason), tuple_size(Reason) > 0 -> name(element(1, Reason));
name(_) -> other.

arity(Args) when is_list(Args) -> length(Args);
arity(Arity) -> Arity.

%% Overload passes; a model that one worker has not, another one has tried to run.
rank({overloaded, _}) -> 1;
rank({model_failed, _, _}) -> 2;
rank({worker_lost, _}) -> 3;
rank({unknown_model, _}) -> 6;
rank({option_not_taken, _}) -> 5;
rank(draining) -> 7;
rank(undef) -> 8;
rank(_) -> 4.
