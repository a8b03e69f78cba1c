-module(ml_cluster_histogram_tests).
-include_lib("eunit/include/eunit.hrl").

all_test_() ->
    {foreach, fun ml_cluster_histogram:new/0, fun(_) -> ets:delete(ml_cluster_histogram) end, [
        fun a_duration_goes_into_its_bucket/0,
        fun labels_are_apart/0,
        fun counters_add_up/0,
        fun nothing_is_lost_between_processes/0,
        fun series_are_bounded/0,
        fun a_forgotten_label_is_gone/0,
        fun a_forgotten_label_begins_anew/0,
        fun a_series_begins_only_where_it_may/0
    ]}.

a_duration_goes_into_its_bucket() ->
    [Low, High | _] = ml_cluster_histogram:bounds(),
    [ok = observe([], Micros) || Micros <- [0, Low, Low + 1, High, 1 bsl 40]],
    [{[], #{count := 5, sum := Sum, buckets := Buckets}}] = ml_cluster_histogram:snapshot(time),
    ?assertEqual(2 * Low + 1 + High + (1 bsl 40), Sum),
    ?assertEqual([{Low, 2}, {High, 2}, {infinity, 1}], [B || {_, N} = B <- Buckets, N > 0]).

observe(Labels, Micros) -> ml_cluster_histogram:observe(time, Labels, Micros).

labels_are_apart() ->
    ok = observe([{worker, a}], 1),
    ok = observe([{worker, b}], 2),
    ok = ml_cluster_histogram:observe(other_time, [{worker, b}], 3),
    ?assertMatch(
        [{[{worker, a}], #{sum := 1}}, {[{worker, b}], #{sum := 2}}],
        ml_cluster_histogram:snapshot(time)
    ),
    ?assertEqual([1, 0], [ml_cluster_histogram:total(time, [{worker, W}]) || W <- [a, c]]),
    ?assertEqual([], ml_cluster_histogram:counts(time)).

counters_add_up() ->
    [ok = ml_cluster_histogram:count(calls, [{outcome, O}], N) || {O, N} <- [{x, 1}, {y, 5}, {x, 2}]],
    ?assertEqual([{[{outcome, x}], 3}, {[{outcome, y}], 5}], ml_cluster_histogram:counts(calls)).

nothing_is_lost_between_processes() ->
    Count = fun() -> [ok = ml_cluster_histogram:count(calls, [{n, I}], 1) || I <- lists:seq(1, 50)] end,
    Refs = [Ref || _ <- lists:seq(1, 20), {_, Ref} <- [spawn_monitor(Count)]],
    [receive {'DOWN', Ref, process, _, Reason} -> ?assertEqual(normal, Reason) end || Ref <- Refs],
    ?assertEqual([{[{n, I}], 20} || I <- lists:seq(1, 50)], ml_cluster_histogram:counts(calls)).

series_are_bounded() ->
    [ok = ml_cluster_histogram:count(calls, [{n, I}], 1) || I <- lists:seq(1, 5000)],
    Counts = ml_cluster_histogram:counts(calls),
    ?assertEqual(4097, length(Counts)),
    ?assertEqual(5000 - 4096, proplists:get_value([{n, other}], Counts)).

a_forgotten_label_is_gone() ->
    ok = observe([{worker, a}, {outcome, answered}], 1),
    ok = observe([{worker, b}, {outcome, answered}], 1),
    ok = ml_cluster_histogram:forget({worker, a}),
    ?assertMatch([{[{worker, b}, _], _}], ml_cluster_histogram:snapshot(time)).

a_forgotten_label_begins_anew() ->
    Labels = [{worker, a}],
    ok = observe(Labels, 1),
    ok = ml_cluster_histogram:forget({worker, a}),
    ok = observe(Labels, 5),
    ?assertMatch([{Labels, #{count := 1, sum := 5}}], ml_cluster_histogram:snapshot(time)).

a_series_begins_only_where_it_may() ->
    [ok = ml_cluster_histogram:observe(time, [], 1, fun() -> May end) || May <- [false, true, false]],
    ?assertMatch([{[], #{count := 2}}], ml_cluster_histogram:snapshot(time)).

a_new_table_begins_anew_test() ->
    [begin
        ok = ml_cluster_histogram:new(),
        ok = observe([], 5),
        ?assertMatch([{[], #{count := 1, sum := 5}}], ml_cluster_histogram:snapshot(time)),
        true = ets:delete(ml_cluster_histogram)
    end || _ <- [1, 2]].

without_a_table_nothing_raises_test() ->
    ?assertEqual(ok, observe([], 1)),
    ?assertEqual(ok, ml_cluster_histogram:count(calls, [], 1)),
    ?assertEqual({[], []}, {ml_cluster_histogram:snapshot(time), ml_cluster_histogram:counts(calls)}).
