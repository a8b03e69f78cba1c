%% @doc What is measured of a worker, on `atomics': written by the calls and by the worker's state
%% machine, read by whoever chooses, without a process in between.
-module(ml_cluster_gauges).

-export([new/0, begun/3, ended/2, in_flight/1, has_room/3]).
-export([set_load/2, load/1, learn/3, pace/1, cost/1]).
-export([failed/1, worked/1, reset_failures/1]).
-export_type([gauges/0]).

-type gauges() :: atomics:atomics_ref().

-define(IN_FLIGHT, 1).
-define(BYTES, 2).
-define(LOAD_US, 3).
-define(FAILURES, 4).
%% Nanoseconds per unit of work, 0 while unknown.
-define(PACE_NS, 5).
-define(GAUGES, 5).

%% A unit of work is a call, or a kilobyte of one: a text costs something however short it is.
-define(UNIT, 1024).
%% Of a worker that has answered nothing yet.
-define(DEFAULT_PACE_NS, 10000000).
%% The newest answer counts for an eighth.
-define(MEMORY, 8).

-spec new() -> gauges().
new() -> atomics:new(?GAUGES, [{signed, true}]).

%% ---- In flight ----

%% @doc Counts a call of so many bytes as on its way to the worker, if the budget has room for it. Room
%% is seen and taken in one step: of calls that have all seen it by has_room/3 some come too late.
-spec begun(gauges(), non_neg_integer(), pos_integer()) -> boolean().
begun(Gauges, Bytes, Budget) ->
    case fits(atomics:add_get(Gauges, ?BYTES, Bytes), Bytes, Budget) of
        true ->
            ok = atomics:add(Gauges, ?IN_FLIGHT, 1),
            true;
        false ->
            ok = atomics:sub(Gauges, ?BYTES, Bytes),
            false
    end.

%% @doc It is no more, however it ended.
-spec ended(gauges(), non_neg_integer()) -> ok.
ended(Gauges, Bytes) ->
    ok = atomics:sub(Gauges, ?IN_FLIGHT, 1),
    atomics:sub(Gauges, ?BYTES, Bytes).

%% @doc Calls sent and not answered.
-spec in_flight(gauges()) -> integer().
in_flight(Gauges) -> atomics:get(Gauges, ?IN_FLIGHT).

%% @doc May so many bytes more be sent? A call that is larger than the budget may go alone.
-spec has_room(gauges(), non_neg_integer(), pos_integer()) -> boolean().
has_room(Gauges, Bytes, Budget) -> fits(atomics:get(Gauges, ?BYTES) + Bytes, Bytes, Budget).

fits(Total, Bytes, Budget) -> Total =< Budget orelse Total =:= Bytes.

%% ---- Load and pace ----

%% @doc The load that the worker reported, in seconds.
-spec set_load(gauges(), number()) -> ok.
set_load(Gauges, Seconds) ->
    %% A worker that reports nonsense must not stop its own state machine.
    atomics:put(Gauges, ?LOAD_US, round(min(max(Seconds, 0), 1.0e9) * 1.0e6)).

-spec load(gauges()) -> float().
load(Gauges) -> atomics:get(Gauges, ?LOAD_US) / 1.0e6.

%% @doc The worker took so many microseconds for a call of so many bytes. Two that write at once
%% lose one of their answers, which an average can bear.
-spec learn(gauges(), non_neg_integer(), non_neg_integer()) -> ok.
learn(Gauges, Micros, Bytes) ->
    New = max(1, Micros * 1000 * ?UNIT div (?UNIT + Bytes)),
    case atomics:get(Gauges, ?PACE_NS) of
        0 -> atomics:put(Gauges, ?PACE_NS, New);
        Old -> atomics:put(Gauges, ?PACE_NS, max(1, Old + (New - Old) div ?MEMORY))
    end.

%% @doc Nanoseconds for a unit of work, as the answers of late had it.
-spec pace(gauges()) -> pos_integer().
pace(Gauges) ->
    case atomics:get(Gauges, ?PACE_NS) of
        0 -> ?DEFAULT_PACE_NS;
        Pace -> Pace
    end.

%% @doc Nanoseconds until the worker is done with what it has: what this front has sent counts at
%% once and at the worker's own pace; what the worker reports (other fronts' work included) lags
%% behind by a probe. 0: idle.
-spec cost(gauges()) -> non_neg_integer().
cost(Gauges) ->
    Reported = atomics:get(Gauges, ?LOAD_US) * 1000,
    case atomics:get(Gauges, ?IN_FLIGHT) of
        Calls when Calls > 0 ->
            Units = Calls + atomics:get(Gauges, ?BYTES) div ?UNIT,
            Reported + Units * pace(Gauges);
        _ ->
            Reported
    end.

%% ---- Failures in a row ----

%% @doc Counts a failure; how many there were since the worker last worked.
-spec failed(gauges()) -> pos_integer().
failed(Gauges) -> atomics:add_get(Gauges, ?FAILURES, 1).

%% @doc A read is cheaper than a write to memory that all schedulers share.
-spec worked(gauges()) -> ok.
worked(Gauges) ->
    case atomics:get(Gauges, ?FAILURES) of
        0 -> ok;
        _ -> reset_failures(Gauges)
    end.

-spec reset_failures(gauges()) -> ok.
reset_failures(Gauges) -> atomics:put(Gauges, ?FAILURES, 0).
