%% @doc Which worker gets a call. Pure: a choice is a function of the snapshot, of what was tried
%% already, and of numbers that the caller draws.
%%
%% `round_robin' takes the ticket's turn. `least_loaded' is the power of two choices (Mitzenmacher,
%% 2001): of two workers drawn at random the less loaded one, which avoids the herd that runs to
%% the single least loaded worker. `consistent' is rendezvous hashing (Thaler and Ravishankar,
%% 1998) with bounded loads (Mirrokni, Thorup and Zadimoghaddam, 2017): the worker with the highest
%% weight for the key among those that are not over their share; when a worker goes, only its own
%% keys move.
-module(ml_cluster_balancer).

-export([choose/2, owner/2, hash/1]).
-export_type([strategy/0, question/0]).

-include("ml_cluster.hrl").

-type strategy() :: round_robin | least_loaded | consistent.
%% `tried': nodes not to be asked again. `ticket': a counter's next value. `key': hash of what is
%% asked for. `load_of': load of a worker, in any unit, ≥ 0. `prefer': the node to take if it can
%% be taken.
-type question() :: #{
    strategy := strategy(),
    tried := [node()],
    ticket := non_neg_integer(),
    random := {non_neg_integer(), non_neg_integer()},
    key := non_neg_integer(),
    load_of := fun((#member{}) -> number()),
    prefer => node()
}.

%% A worker holds at most this many times the average load before its keys go to the next one.
-define(BOUND, 1.25).

%% @doc The worker to ask: a remote one, else the local one, else `none'.
-spec choose(question(), #snapshot{}) -> {ok, #member{}} | none.
choose(Question, #snapshot{remote = Remote, local = Local}) ->
    case pick(Question, untried(Question, Remote)) of
        none -> first(untried(Question, Local));
        Found -> Found
    end.

%% @doc The worker that a key belongs to while all are equally loaded.
%% There must be one.
-spec owner(non_neg_integer(), tuple()) -> node().
owner(Key, Members) ->
    #member{node = Node} = heaviest(Key, tuple_to_list(Members)),
    Node.

%% @doc The place of a text or a node in the consistent strategy.
-spec hash(term()) -> non_neg_integer().
hash(Term) -> erlang:phash2(Term, 1 bsl 32).

%% Nothing was tried in nearly all questions: the tuple is used as it is, without a copy.
untried(#{tried := []}, Members) ->
    Members;
untried(#{tried := Tried}, Members) ->
    list_to_tuple([M || M <- tuple_to_list(Members), not lists:member(M#member.node, Tried)]).

pick(_, {}) ->
    none;
pick(#{prefer := Node} = Question, Members) ->
    case lists:keyfind(Node, #member.node, tuple_to_list(Members)) of
        #member{} = Member -> {ok, Member};
        false -> by_strategy(Question, Members)
    end;
pick(Question, Members) ->
    by_strategy(Question, Members).

by_strategy(#{strategy := round_robin, ticket := Ticket}, Members) ->
    {ok, element(1 + Ticket rem tuple_size(Members), Members)};
by_strategy(#{strategy := least_loaded} = Question, Members) ->
    {ok, lighter_of_two(Question, Members)};
by_strategy(#{strategy := consistent, key := Key, load_of := LoadOf}, Members) ->
    {ok, heaviest(Key, within_bound(LoadOf, tuple_to_list(Members)))}.

lighter_of_two(_, {Only}) ->
    Only;
lighter_of_two(#{random := {A, B}, load_of := LoadOf}, Members) ->
    Size = tuple_size(Members),
    I = A rem Size,
    %% The second is drawn from the others, so that two different workers are compared.
    J = (I + 1 + B rem (Size - 1)) rem Size,
    First = element(1 + I, Members),
    Second = element(1 + J, Members),
    case LoadOf(Second) < LoadOf(First) of
        true -> Second;
        false -> First
    end.

%% At least one worker is at or below the average, so the bound never leaves nobody. The call that
%% is being placed counts too, or an idle cluster would have a bound of zero.
within_bound(LoadOf, Members) ->
    Loads = [LoadOf(M) || M <- Members],
    Bound = ?BOUND * (lists:sum(Loads) + 1) / length(Members),
    case [M || {M, Load} <- lists:zip(Members, Loads), Load =< Bound] of
        [] -> Members;
        Within -> Within
    end.

heaviest(Key, [First | Rest]) ->
    {_, Member} = lists:foldl(
        fun(M, {Weight, _} = Best) ->
            case weight(Key, M) of
                W when W > Weight -> {W, M};
                _ -> Best
            end
        end,
        {weight(Key, First), First},
        Rest
    ),
    Member.

weight(Key, #member{hash = Hash}) -> erlang:phash2({Key, Hash}, 1 bsl 32).

first({}) -> none;
first(Members) -> {ok, element(1, Members)}.
