-module(ml_cluster_span_tests).
-include_lib("eunit/include/eunit.hrl").

all_test_() ->
    {foreach, fun set_up/0, fun tear_down/1, [
        fun what_comes_of_a_call_is_counted_by_function_and_outcome/0,
        fun labels_stay_few/0,
        fun a_bug_of_ours_is_an_exception/0,
        fun an_attempt_with_a_removed_worker_leaves_no_series/0
    ]}.

set_up() ->
    %% It runs in the process that makes the call.
    Tell = fun(Name, Measurements, Metadata) -> self() ! {event, Name, Measurements, Metadata} end,
    {ok, Config} = ml_cluster_config:check([{events, Tell}]),
    ok = ml_cluster_config:install(Config),
    ok = ml_cluster_metrics:init(),
    ok = ml_cluster_table:new(),
    ml_cluster_histogram:new().

tear_down(_) ->
    true = ets:delete(ml_cluster_histogram),
    true = ets:delete(ml_cluster_table),
    ml_cluster_config:uninstall().

call(Function, Result) -> ml_cluster_span:call(Function, #{}, fun() -> Result end).

calls() -> [Labels || {Labels, #{count := _}} <- ml_cluster_histogram:snapshot(call)].

last_event() ->
    receive
        {event, Name, Measurements, Metadata} ->
            case last_event() of
                none -> {Name, Measurements, Metadata};
                Later -> Later
            end
    after 0 -> none
    end.

what_comes_of_a_call_is_counted_by_function_and_outcome() ->
    Reply = #{embeddings => [v], cached => 0},
    ?assertEqual({ok, Reply#{nodes => [n@h]}}, call(encode, {ok, Reply, [n@h]})),
    ?assertEqual({ok, v}, call(predict, {ok, v, n@h})),
    ?assertMatch({[ml_cluster, call, stop], _, #{nodes := [n@h], outcome := ok}}, last_event()),
    ?assertEqual({error, no_workers}, call(predict, {error, no_workers})),
    ?assertEqual({error, {overloaded, 1}}, call(predict, {error, {overloaded, 1}})),
    ?assertEqual(
        [
            [{function, encode}, {outcome, ok}],
            [{function, predict}, {outcome, no_workers}],
            [{function, predict}, {outcome, ok}],
            [{function, predict}, {outcome, overloaded}]
        ],
        calls()
    ).

%% Function names and reasons come from callers and from workers.
labels_stay_few() ->
    [call(list_to_atom("f" ++ integer_to_list(I)), {error, {I, x}}) || I <- lists:seq(1, 50)],
    ?assertEqual([[{function, other}, {outcome, other}]], calls()).

a_bug_of_ours_is_an_exception() ->
    ?assertError(bug, ml_cluster_span:call(encode, #{}, fun() -> error(bug) end)),
    ?assertMatch(
        {[ml_cluster, call, exception], #{duration := _},
            #{function := encode, kind := error, reason := bug, stacktrace := [_ | _]}},
        last_event()
    ),
    ?assertEqual({error, {internal, killed}}, call(encode, {error, {internal, killed}})),
    ?assertMatch(
        {[ml_cluster, call, exception], _, #{kind := exit, reason := killed}}, last_event()
    ).

an_attempt_with_a_removed_worker_leaves_no_series() ->
    ok = ml_cluster_span:attempt(n@h, encode, 1000, {ok, v}),
    ?assertMatch(
        {[ml_cluster, attempt, stop], #{duration := 1000}, #{node := n@h, outcome := answered}},
        last_event()
    ),
    ?assertEqual([], ml_cluster_histogram:snapshot(worker_request)).
