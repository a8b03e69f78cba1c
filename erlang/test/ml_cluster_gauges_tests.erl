-module(ml_cluster_gauges_tests).
-include_lib("eunit/include/eunit.hrl").

-define(BUDGET, 1 bsl 20).

-import(ml_cluster_gauges, [new/0, begun/3, ended/2, cost/1, pace/1, learn/3, has_room/3]).

what_is_in_flight_costs_its_time_test() ->
    Gauges = new(),
    ?assertEqual(0, cost(Gauges)),
    true = begun(Gauges, 10, ?BUDGET),
    ?assertEqual({1, pace(Gauges)}, {ml_cluster_gauges:in_flight(Gauges), cost(Gauges)}),
    true = begun(Gauges, 10 * 1024, ?BUDGET),
    ?assertEqual(12 * pace(Gauges), cost(Gauges)),
    ok = ended(Gauges, 10 * 1024),
    ok = ended(Gauges, 10),
    ?assertEqual({0, 0}, {ml_cluster_gauges:in_flight(Gauges), cost(Gauges)}).

%% Another front's work, in seconds, adds to that.
what_the_worker_reports_costs_too_test() ->
    Gauges = new(),
    ok = ml_cluster_gauges:set_load(Gauges, 0.5),
    ?assertEqual({500000000, 0.5}, {cost(Gauges), ml_cluster_gauges:load(Gauges)}),
    true = begun(Gauges, 0, ?BUDGET),
    ?assertEqual(500000000 + pace(Gauges), cost(Gauges)).

nonsense_is_bounded_test() ->
    Gauges = new(),
    [
        begin
            ok = ml_cluster_gauges:set_load(Gauges, Seconds),
            ?assertEqual(Bounded, ml_cluster_gauges:load(Gauges))
        end
     || {Seconds, Bounded} <- [{-1, 0.0}, {1.0e300, 1.0e9}, {1 bsl 80, 1.0e9}]
    ].

the_pace_follows_the_answers_test() ->
    Gauges = new(),
    ok = learn(Gauges, 2000, 0),
    ?assertEqual(2000000, pace(Gauges)),
    [ok = learn(Gauges, 8000, 0) || _ <- lists:seq(1, 60)],
    ?assert(abs(pace(Gauges) - 8000000) < 100000),
    %% By work done: a large call may take longer.
    Large = new(),
    ok = learn(Large, 2000 * 257, 256 * 1024),
    ?assertEqual(2000000, pace(Large)).

a_budget_leaves_room_or_not_test() ->
    Gauges = new(),
    ?assert(has_room(Gauges, 5000, 1000)),
    true = begun(Gauges, 600, 1000),
    ?assert(has_room(Gauges, 400, 1000)),
    ?assertNot(has_room(Gauges, 401, 1000)).

%% Three calls that were all picked before one of them began.
room_is_taken_in_one_step_test() ->
    Gauges = new(),
    ?assertEqual([true, true, true], [has_room(Gauges, 400, 1000) || _ <- [1, 2, 3]]),
    ?assertEqual([true, true, false], [begun(Gauges, 400, 1000) || _ <- [1, 2, 3]]),
    ?assertEqual(2, ml_cluster_gauges:in_flight(Gauges)),
    ?assert(has_room(Gauges, 200, 1000)),
    [ok = ended(Gauges, 400) || _ <- [1, 2]],
    ?assert(begun(Gauges, 5000, 1000)),
    ?assertNot(begun(Gauges, 1, 1000)).

failures_in_a_row_test() ->
    Gauges = new(),
    ?assertEqual([1, 2], [ml_cluster_gauges:failed(Gauges) || _ <- [1, 2]]),
    ok = ml_cluster_gauges:worked(Gauges),
    ?assertEqual(1, ml_cluster_gauges:failed(Gauges)).
