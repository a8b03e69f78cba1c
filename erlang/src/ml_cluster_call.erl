%% @doc One call of one function of `ml_worker', tried on one worker after the other until one has
%% answered, the reason is final, retries are used up or the deadline is there.
%%
%% Each call is a short-lived process: a late reply dies with it, its end cancels the work in the
%% worker (erpc's monitor goes away), and it ends when its caller does. Its answer is its exit
%% reason, so the caller gets exactly one, in the 'DOWN' message that it waits for anyway. A caller
%% that watches whether its answer is still wanted makes the call itself.
-module(ml_cluster_call).

-export([start/1, start/2, answer/1, run/1, guarded/1]).
-export_type([job/0, result/0]).

-include("ml_cluster.hrl").

%% `args': the arguments before the options. `opts': options that change the answer; a worker that
%% does not name one of them is not asked. `wishes': sent to workers that name them, else left out.
%% `deadline': milliseconds of the VM's monotonic clock. `budget': bytes that one worker may have in
%% flight. `only': nodes that may be asked.
%% `watch': the caller makes the call itself, and this says which of its messages ends it. Such a
%% caller is not killed, for it must count the call out; and the time that it takes may be longer than
%% the call has by as long as a worker that reads nothing goes unsuspected, for it is held up in sending.
-type job() :: #{
    function := atom(),
    args := [term()],
    opts := map(),
    wishes := map(),
    deadline := integer(),
    retries := non_neg_integer(),
    strategy := ml_cluster_balancer:strategy(),
    key := non_neg_integer(),
    budget := pos_integer(),
    watch := none | ml_cluster_watch:watch(),
    prefer => node(),
    only => [node()]
}.
-type result() :: {ok, term(), node()} | {error, term()}.

%% A worker that failed this often in a row, while others answered, is taken out.
-define(TRIP_AFTER, 3).
%% The caller waits this much longer than the call, which may be held up by a stalled connection.
-define(GRACE, 200).
%% How often a call looks whether a worker has room for it, in milliseconds.
-define(ROOM_POLL, 5).

-record(attempts, {
    job :: job(),
    watch :: ml_cluster_watch:watch(),
    tried = [] :: [node()],
    retries :: non_neg_integer(),
    %% What the arguments take on the wire.
    bytes :: non_neg_integer(),
    reasons = [] :: [term()],
    %% Those whose failure counts once another worker has shown that the call can be answered: a
    %% text that every worker fails on must not take the workers out.
    suspects = [] :: [{#member{}, term()}]
}).

%% @doc Makes the call and waits for its answer.
-spec run(job()) -> result().
run(#{watch := none, deadline := Deadline} = Job) ->
    {Pid, Ref} = start(Job),
    receive
        {'DOWN', Ref, process, Pid, Exit} -> answer(Exit)
    after max(0, Deadline - now_ms()) + ?GRACE ->
        %% Not killed: once it runs again it sees its deadline and counts itself out.
        true = erlang:demonitor(Ref, [flush]),
        {error, deadline_exceeded}
    end;
run(#{watch := Watch} = Job) ->
    guarded(fun() -> perform(Watch, Job) end).

%% @doc Starts the call; answer/1 reads the reason in the 'DOWN' message of its process, and
%% {@link ml_cluster_watch:cancel/2} ends it.
-spec start(job()) -> {pid(), reference()}.
start(Job) -> start(Job, fun(Value) -> Value end).

%% @doc As start/1; the call's process makes the answer out of what the worker has answered.
-spec start(job(), fun((term()) -> term())) -> {pid(), reference()}.
start(Job, Made) ->
    Caller = self(),
    spawn_monitor(fun() -> exit({answer, guarded(fun() -> made(watched(Caller, Job), Made) end)}) end).

watched(Caller, Job) ->
    Ref = erlang:monitor(process, Caller),
    perform(fun(Message) -> is_end(Message, Ref) end, Job).

%% @doc The result of a process of a call; a crash of ours is an error. The VM's own report of one would
%% have arguments in it, which are texts.
-spec guarded(fun(() -> Result)) -> Result | {error, {internal, term()}}.
guarded(Fun) ->
    try
        Fun()
    catch
        Class:Reason:Stack -> {error, {internal, ml_cluster_failure:bug(Class, Reason, Stack)}}
    end.

made({ok, Value, Node}, Made) -> {ok, Made(Value), Node};
made({error, _} = Error, _) -> Error.

is_end({'DOWN', Ref, process, _, _}, Ref) -> true;
is_end(Message, _) -> ml_cluster_watch:is_cancel(Message).

-spec answer(term()) -> result().
answer({answer, Result}) -> Result;
answer(Crash) -> {error, {internal, Crash}}.

perform(Watch, #{retries := Retries, args := Args} = Job) ->
    Bytes = erlang:external_size(Args),
    attempt(#attempts{job = Job, watch = Watch, retries = Retries, bytes = Bytes}).

%% ---- Attempts ----

attempt(#attempts{job = #{deadline := Deadline}} = State) ->
    case Deadline - now_ms() of
        Left when Left =< 0 -> {error, deadline_exceeded};
        Left -> attempt(choose(State), Left, State)
    end.

attempt(full, Left, #attempts{watch = Watch} = State) ->
    case ml_cluster_watch:wait(fun(_) -> none end, Watch, now_ms() + min(Left, ?ROOM_POLL)) of
        gone -> {error, cancelled};
        timeout -> attempt(State)
    end;
attempt(none, _, #attempts{reasons = []}) ->
    {error, no_workers};
attempt(none, _, #attempts{reasons = Reasons}) ->
    {error, ml_cluster_failure:final(Reasons)};
attempt({ok, Member}, Left, #attempts{job = Job} = State) ->
    case arguments(Job, Left, Member) of
        {ok, Args} -> ask(Member, Args, State);
        {error, Reason} -> judge({error, Reason}, Member, State)
    end.

choose(#attempts{job = Job, tried = Tried, bytes = Bytes}) ->
    ml_cluster_pick:worker(Job, Tried, Bytes).

judge({ok, Value}, #member{node = Node, gauges = Gauges}, State) ->
    ok = ml_cluster_gauges:worked(Gauges),
    lists:foreach(fun blame/1, State#attempts.suspects),
    {ok, Value, Node};
judge({error, Reason}, Member, State) ->
    Verdict = ml_cluster_failure:verdict(Reason),
    after_failure(Verdict, Reason, Member, failed_on(Member, Reason, State)).

after_failure(final, Reason, _, _) ->
    {error, Reason};
after_failure(refused, _, _, State) ->
    attempt(State);
after_failure(draining, _, #member{node = Node}, State) ->
    ok = ml_cluster_worker:says_draining(Node),
    attempt(State);
after_failure(failed, _, _, #attempts{retries = 0, reasons = Reasons}) ->
    {error, ml_cluster_failure:final(Reasons)};
after_failure(failed, Reason, Member, #attempts{retries = Retries, suspects = Suspects} = State) ->
    attempt(State#attempts{retries = Retries - 1, suspects = [{Member, Reason} | Suspects]}).

failed_on(#member{node = Node}, Reason, #attempts{tried = Tried, reasons = Reasons} = State) ->
    State#attempts{tried = [Node | Tried], reasons = [Reason | Reasons]}.

blame({#member{node = Node, gauges = Gauges}, Reason}) ->
    case ml_cluster_gauges:failed(Gauges) of
        ?TRIP_AFTER -> ml_cluster_worker:trip(Node, Reason);
        _ -> ok
    end.

%% ---- One attempt ----

%% Each hop passes on what is left of the time.
arguments(#{args := Args, opts := Opts} = Job, Left, #member{opts = Named}) ->
    case [Key || Key <- maps:keys(Opts), not is_named(Key, Named)] of
        [Key | _] ->
            {error, {option_not_taken, Key}};
        [] ->
            Granted = maps:filter(fun(Key, _) -> is_named(Key, Named) end, wishes(Job, Left)),
            {ok, with_options(Args, maps:merge(Granted, Opts))}
    end.

%% What a worker names are the options of functions that take texts: another one may take none. Those
%% that ask for more beside the vectors are not for all of them.
wishes(#{function := Function, wishes := Wishes}, Left) when
    Function =:= encode; Function =:= predict
->
    Wishes#{timeout_ms => Left};
wishes(#{function := Function, wishes := Wishes}, Left) when
    Function =:= tokenize; Function =:= similarity; Function =:= embed_tokens
->
    (maps:with([priority, trace], Wishes))#{timeout_ms => Left};
wishes(_, _) ->
    #{}.

is_named(Key, Named) ->
    case ml_cluster_info:option_key(Key) of
        {ok, Name} -> is_map_key(Name, Named);
        error -> false
    end.

with_options(Args, Opts) when map_size(Opts) =:= 0 -> Args;
with_options(Args, Opts) -> Args ++ [Opts].

ask(#member{gauges = Gauges} = Member, Args, #attempts{bytes = Bytes} = State) ->
    #attempts{job = #{budget := Budget}} = State,
    case ml_cluster_gauges:begun(Gauges, Bytes, Budget) of
        true -> judge(asked(Member, Args, State), Member, State);
        %% Other calls have taken the room since it was picked.
        false -> attempt(State)
    end.

asked(#member{node = Node, gauges = Gauges}, Args, #attempts{job = Job, bytes = Bytes} = State) ->
    #{function := Function} = Job,
    ok = ml_cluster_metrics:begun(),
    Sent = erlang:monotonic_time(),
    try await(erpc:send_request(Node, ml_worker, Function, Args), Node, State) of
        Result ->
            Took = erlang:monotonic_time() - Sent,
            ok = learned(Result, Gauges, Took, Bytes),
            ok = ml_cluster_span:attempt(Node, Function, Took, Result),
            Result
    after
        ok = ml_cluster_gauges:ended(Gauges, Bytes),
        ok = ml_cluster_metrics:ended()
    end.

%% A worker that fails fast is not a fast worker.
learned({ok, _}, Gauges, Took, Bytes) ->
    ml_cluster_gauges:learn(Gauges, erlang:convert_time_unit(Took, native, microsecond), Bytes);
learned({error, _}, _, _, _) ->
    ok.

await(Request, Node, #attempts{job = #{deadline := Deadline}, watch = Watch}) ->
    Match = fun(Message) -> response(Message, Request, Node) end,
    case ml_cluster_watch:wait(Match, Watch, Deadline) of
        {got, Result} -> Result;
        gone -> given_up(Request, cancelled);
        timeout -> given_up(Request, deadline_exceeded)
    end.

%% The worker is told, and its answer is dropped should it come all the same.
given_up(Request, Reason) ->
    try
        _ = erpc:receive_response(Request, 0),
        {error, Reason}
    catch
        _:_ -> {error, Reason}
    end.

response(Message, Request, Node) ->
    try erpc:check_response(Message, Request) of
        {response, Value} -> {ok, Value};
        no_response -> none
    catch
        Class:Reason -> {error, ml_cluster_failure:reason({Class, Reason}, Node)}
    end.

now_ms() -> erlang:monotonic_time(millisecond).
