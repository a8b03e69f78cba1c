%% @doc The end of a front: new calls are refused with `draining', those that run get their answers,
%% and only then, or after `drain_ms', does the application stop.
-module(ml_cluster_drain).

-export([run/0, is_draining/0, ended/0]).

-define(POLL_MS, 50).

%% @doc Refuses what comes, and returns when what runs is done.
-spec run() -> ok.
run() ->
    ok = persistent_term:put(?MODULE, true),
    #{drain_ms := Longest} = ml_cluster_config:get(limits),
    ok = ml_cluster_log:write(notice, drain_begins, #{calls => running()}),
    await(now_ms() + Longest).

%% @doc Is the front about to stop?
-spec is_draining() -> boolean().
is_draining() -> persistent_term:get(?MODULE, false).

%% @doc A front that is started again takes calls again.
-spec ended() -> boolean().
ended() -> persistent_term:erase(?MODULE).

await(Deadline) ->
    case {connections(ml_cluster_config:get(http)) + running(), now_ms() >= Deadline} of
        {0, _} ->
            ok;
        {Left, true} ->
            ml_cluster_log:write(warning, drain_ends, #{left => Left});
        _ ->
            timer:sleep(?POLL_MS),
            await(Deadline)
    end.

%% Calls from this node's Erlang processes are in there too, and those under Hornbeam.
running() -> ml_cluster_metrics:in_flight().

%% A connection is open until its answer is sent, however slowly the client reads.
connections(false) -> 0;
connections(#{adapter := none}) -> 0;
connections(#{adapter := Adapter}) -> Adapter:drain().

now_ms() -> erlang:monotonic_time(millisecond).
