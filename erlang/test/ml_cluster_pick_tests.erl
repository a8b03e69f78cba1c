-module(ml_cluster_pick_tests).
-include_lib("eunit/include/eunit.hrl").
-include("../src/ml_cluster.hrl").

-define(BUDGET, 1000).

all_test_() ->
    {foreach, fun set_up/0, fun tear_down/1, [
        fun a_worker_without_room_is_passed_over/0,
        fun where_none_has_room_the_call_waits/0,
        fun the_local_worker_takes_no_overflow/0,
        fun with_no_worker_there_is_none/0,
        fun only_those_that_may_be_asked/0
    ]}.

set_up() ->
    {ok, Config} = ml_cluster_config:check([]),
    ok = ml_cluster_config:install(Config),
    ok = ml_cluster_metrics:init(),
    ok = ml_cluster_histogram:new(),
    ok = ml_cluster_table:new(),
    {ok, Table} = ml_cluster_table:start_link(),
    Table.

tear_down(Table) ->
    ok = gen_server:stop(Table),
    true = ets:delete(ml_cluster_table),
    true = ets:delete(ml_cluster_histogram),
    _ = ml_cluster_config:uninstall(),
    ok.

up(Node, Role) ->
    Gauges = ml_cluster_gauges:new(),
    Row = #{node => Node, role => Role, state => up, reason => none, info => #{}, gauges => Gauges},
    ok = ml_cluster_table:put(Row),
    Gauges.

pick(Tried, More) ->
    Job = maps:merge(#{strategy => round_robin, key => 0, budget => ?BUDGET}, More),
    case ml_cluster_pick:worker(Job, Tried, 600) of
        {ok, #member{node = Node}} -> Node;
        Other -> Other
    end.

picked(Tried) -> lists:usort([pick(Tried, #{}) || _ <- lists:seq(1, 10)]).

a_worker_without_room_is_passed_over() ->
    A = up(a@h, remote),
    _ = up(b@h, remote),
    ?assertEqual([a@h, b@h], picked([])),
    true = ml_cluster_gauges:begun(A, 500, 1000),
    ?assertEqual([b@h], picked([])),
    %% Also one that a piece was meant for.
    ?assertEqual(b@h, pick([], #{prefer => a@h})),
    ok = ml_cluster_gauges:ended(A, 500),
    ?assertEqual(a@h, pick([], #{prefer => a@h})).

where_none_has_room_the_call_waits() ->
    [true = ml_cluster_gauges:begun(up(Node, remote), 500, 1000) || Node <- [a@h, b@h]],
    ?assertEqual([full], picked([])),
    ?assertEqual([full], picked([a@h])),
    ?assertEqual([none], picked([a@h, b@h])).

the_local_worker_takes_no_overflow() ->
    A = up(a@h, remote),
    _ = up(local@h, local),
    true = ml_cluster_gauges:begun(A, 500, 1000),
    ?assertEqual([full], picked([])),
    ?assertEqual([local@h], picked([a@h])).

with_no_worker_there_is_none() -> ?assertEqual([none], picked([])).

only_those_that_may_be_asked() ->
    [_ = up(Node, remote) || Node <- [a@h, b@h, c@h]],
    ?assertEqual([c@h], lists:usort([pick([], #{only => [c@h]}) || _ <- lists:seq(1, 10)])),
    ?assertEqual(none, pick([c@h], #{only => [c@h]})).
