%% @doc What it takes to pick a worker among a hundred, without a worker or a node: scripts/bench-pick
%% runs this. Prints a row of docs/BENCHMARKS.md for each strategy, idle and busy.
-module(pick_bench).

-export([main/0]).

-define(WORKERS, 100).
-define(PICKS, 200000).
-define(ROUNDS, 5).

main() ->
    ok = ml_cluster_metrics:init(),
    ok = ml_cluster_histogram:new(),
    ok = ml_cluster_table:new(),
    io:format("| strategy | idle, ns | busy, ns |~n|---|---|---|~n"),
    lists:foreach(fun row/1, [round_robin, least_loaded, consistent]),
    halt().

row(Strategy) ->
    {ok, Config} = ml_cluster_config:check([{strategy, Strategy}]),
    ok = ml_cluster_config:install(Config),
    {ok, Table} = ml_cluster_table:start_link(),
    Gauges = [up(I) || I <- lists:seq(1, ?WORKERS)],
    Idle = picks(Strategy),
    %% As many calls on their way as twice the bound of the consistent strategy lets through.
    lists:foreach(fun load/1, lists:zip(Gauges, lists:seq(1, ?WORKERS))),
    Busy = picks(Strategy),
    io:format("| `~s` | ~b | ~b |~n", [Strategy, Idle, Busy]),
    ok = gen_server:stop(Table),
    [ml_cluster_metrics:ended() || _ <- lists:seq(1, lists:sum(lists:seq(1, ?WORKERS)))],
    true = ets:delete_all_objects(ml_cluster_table).

up(I) ->
    Node = list_to_atom("worker" ++ integer_to_list(I) ++ "@10.0.0.1"),
    Gauges = ml_cluster_gauges:new(),
    ok = ml_cluster_table:put(#{
        node => Node, role => remote, state => up, reason => none, info => #{}, gauges => Gauges
    }),
    Gauges.

%% From 1 to 100 calls: half of the workers have more than their share.
load({Gauges, Calls}) ->
    lists:foreach(
        fun(_) ->
            true = ml_cluster_gauges:begun(Gauges, 100, 1 bsl 20),
            ok = ml_cluster_metrics:begun()
        end,
        lists:seq(1, Calls)
    ).

%% The median of some rounds, in nanoseconds a pick; what the loop itself takes is in it.
picks(Strategy) ->
    Times = [timed(Strategy) || _ <- lists:seq(1, ?ROUNDS)],
    lists:nth((?ROUNDS + 1) div 2, lists:sort(Times)) * 1000 div ?PICKS.

timed(Strategy) ->
    Self = self(),
    spawn_link(fun() -> Self ! {took, element(1, timer:tc(fun() -> pick(?PICKS, Strategy) end))} end),
    receive {took, Microseconds} -> Microseconds end.

pick(0, _) ->
    ok;
pick(Left, Strategy) ->
    Job = #{strategy => Strategy, key => Left * 7919, budget => 4194304},
    {ok, _} = ml_cluster_pick:worker(Job, [], 100),
    pick(Left - 1, Strategy).
