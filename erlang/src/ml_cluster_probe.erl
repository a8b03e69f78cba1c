%% @doc Asking a worker how it is, from short-lived helper processes: connecting to a dead host and
%% sending to a stalled connection block whoever does it, so a worker's state machine never does
%% either itself. The answer is the helper's exit reason, so a late one reaches nobody.
-module(ml_cluster_probe).

-export([start/2, answer/1, stop/1]).
-export_type([helper/0, question/0, answer/0]).

-type helper() :: {pid(), reference()}.
%% `connect': connect, read info/0 and run health/0. `load': get_load/0. `health': health/0.
-type question() :: connect | load | health.
-type answer() ::
    {ok, Info :: map()} | {load, number()} | healthy | {foreign, term()} | {error, term()}.

%% info/0 never waits for the device; health/0 waits behind what is queued.
-define(INFO_TIMEOUT, 5000).
-define(HEALTH_TIMEOUT, 30000).

%% @doc Starts a helper; its 'DOWN' message brings what answer/1 reads.
-spec start(question(), node()) -> helper().
start(Question, Node) ->
    spawn_monitor(fun() -> exit({answer, ask(Question, Node)}) end).

%% @doc The answer in the reason of a helper's 'DOWN' message.
-spec answer(term()) -> answer().
answer({answer, Answer}) -> Answer;
answer(Crash) -> {error, {probe_failed, Crash}}.

%% @doc Ends a helper whose answer nobody waits for any more.
-spec stop(helper()) -> ok.
stop({Pid, Ref}) ->
    true = erlang:demonitor(Ref, [flush]),
    true = exit(Pid, kill),
    ok.

ask(connect, Node) ->
    case net_kernel:connect_node(Node) of
        true -> introduce(Node);
        _ -> {error, not_reachable}
    end;
ask(load, Node) ->
    case call(Node, get_load, ?HEALTH_TIMEOUT) of
        {ok, Load} when is_number(Load), Load >= 0 -> {load, Load};
        {ok, Other} -> {error, {bad_load, Other}};
        %% It answers, and tells no load: as good as any.
        {error, undef} -> {load, 0};
        {error, _} = Error -> Error
    end;
ask(health, Node) ->
    case call(Node, health, ?HEALTH_TIMEOUT) of
        {ok, _} -> healthy;
        {error, _} = Error -> Error
    end.

introduce(Node) ->
    case call(Node, info, ?INFO_TIMEOUT) of
        {ok, Info} -> accepted(Node, ml_cluster_info:check(Info));
        %% A node without our functions: it merely shares the prefix.
        {error, undef} -> {foreign, undef};
        {error, _} = Error -> Error
    end.

accepted(_, {error, Reason}) ->
    {foreign, Reason};
accepted(Node, {ok, Info}) ->
    case ml_cluster_info:names_function(health, Info) of
        true -> healthy_info(Node, Info);
        false -> {ok, Info}
    end.

healthy_info(Node, Info) ->
    case call(Node, health, ?HEALTH_TIMEOUT) of
        {ok, _} -> {ok, Info};
        {error, {overloaded, _}} -> {ok, Info};
        {error, _} = Error -> Error
    end.

call(Node, Function, Timeout) ->
    try erpc:call(Node, ml_worker, Function, [], Timeout) of
        Value -> {ok, Value}
    catch
        Class:Reason -> {error, ml_cluster_failure:reason({Class, Reason}, Node)}
    end.
