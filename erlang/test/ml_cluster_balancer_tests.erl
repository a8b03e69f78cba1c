-module(ml_cluster_balancer_tests).
-include_lib("eunit/include/eunit.hrl").
-include("ml_cluster_proper.hrl").
-import(proper_types, [range/2, list/1, oneof/1, non_neg_integer/0]).
-include("../src/ml_cluster.hrl").

member(I) ->
    Node = list_to_atom("worker" ++ integer_to_list(I) ++ "@127.0.0.1"),
    #member{node = Node, gauges = ml_cluster_gauges:new()}.

snapshot(Count) -> snapshot(Count, round_robin).

snapshot(Count, Strategy) ->
    Members = [member(I) || I <- lists:seq(1, Count)],
    ml_cluster_balancer:snapshot(Members, [], Strategy, #snapshot{}).

%% The table of owners takes a moment to make, so properties share one for each size.
consistent_snapshot(Count) ->
    case get({snapshot, Count}) of
        undefined ->
            Snapshot = snapshot(Count, consistent),
            _ = put({snapshot, Count}, Snapshot),
            Snapshot;
        Snapshot ->
            Snapshot
    end.

question(Changes) ->
    maps:merge(
        #{
            strategy => round_robin,
            tried => [],
            draw => 0,
            key => 0,
            prefer => none,
            cost_of => fun(_) -> 0 end,
            pace_of => fun(_) -> 1 end,
            in_flight_of => fun(_) -> 0 end,
            in_flight => 0
        },
        Changes
    ).

node_for(Changes, Snapshot) ->
    {ok, #member{node = Node}} = ml_cluster_balancer:choose(question(Changes), Snapshot),
    Node.

nodes_of(#snapshot{remote = Remote}) -> [N || #member{node = N} <- tuple_to_list(Remote)].

nobody_is_none_test() ->
    [
        ?assertEqual(none, ml_cluster_balancer:choose(question(#{strategy => S}), #snapshot{}))
     || S <- [round_robin, least_loaded, consistent]
    ].

round_robin_gives_each_its_turn_test() ->
    Snapshot = snapshot(3),
    Chosen = [node_for(#{draw => T}, Snapshot) || T <- lists:seq(0, 8)],
    Nodes = nodes_of(Snapshot),
    ?assertEqual(Nodes ++ Nodes ++ Nodes, Chosen).

preferred_is_taken_unless_tried_test() ->
    Snapshot = snapshot(3),
    [First, Second, _] = nodes_of(Snapshot),
    ?assertEqual(Second, node_for(#{prefer => Second}, Snapshot)),
    ?assertEqual(First, node_for(#{prefer => Second, tried => [Second]}, Snapshot)).

local_is_last_test() ->
    Local = (member(99))#member{role = local},
    Both = ml_cluster_balancer:snapshot([member(1)], [Local], round_robin, #snapshot{}),
    #snapshot{remote = Remote} = Both,
    #member{node = Node} = element(1, Remote),
    ?assertEqual(Node, node_for(#{}, Both)),
    ?assertEqual(Local#member.node, node_for(#{tried => [Node]}, Both)),
    ?assertEqual(
        none,
        ml_cluster_balancer:choose(question(#{tried => [Node, Local#member.node]}), Both)
    ).

%% `only' of a call: what is chosen is one of those, whatever the strategy.
restricted_test() ->
    [Left, Other, _] = nodes_of(snapshot(3)),
    [
        begin
            Question = #{strategy => Strategy, prefer => Other, key => Key, draw => Key},
            ?assertEqual(Left, node_for(Question, Snapshot))
        end
     || Strategy <- [round_robin, least_loaded, consistent],
        Snapshot <- [ml_cluster_balancer:restrict([Left], snapshot(3, Strategy))],
        Key <- lists:seq(1, 20)
    ].

properties_test_() ->
    [
        {timeout, 120, {Name, ?_assert(proper:quickcheck(Property, [{numtests, Count}, quiet]))}}
     || {Name, Count, Property} <- [
            {"never a tried worker, never none while one is left", 300, prop_untried()},
            {"of two drawn, least_loaded takes the one done sooner", 300, prop_sooner()},
            {"the most loaded of many is never least_loaded", 300, prop_never_heaviest()},
            {"idle workers get shares by their pace", 30, prop_shares_of_the_idle()},
            {"under load faster workers get more, and none is left out", 30, prop_shares()},
            {"a worker that goes moves only its own keys", 300, prop_only_own_keys_move()},
            {"consistent never picks a worker over its bound", 300, prop_bounded()},
            {"a key over the bound stays where it went", 300, prop_stable_over_the_bound()}
        ]
    ].

strategy() -> oneof([round_robin, least_loaded, consistent]).

key() -> range(0, 1 bsl 32 - 1).

prop_untried() ->
    ?FORALL(
        {Count, Strategy, Seed, Picks},
        {range(1, 20), strategy(), non_neg_integer(), list(range(1, 20))},
        begin
            Snapshot = snapshot(Count),
            Nodes = nodes_of(Snapshot),
            Tried = lists:usort([lists:nth(P, Nodes) || P <- Picks, P =< Count]),
            Question = question(#{
                strategy => Strategy, tried => Tried, draw => Seed, key => Seed
            }),
            case ml_cluster_balancer:choose(Question, Snapshot) of
                none -> length(Tried) =:= Count;
                {ok, #member{node = Node}} -> not lists:member(Node, Tried)
            end
        end
    ).

%% A function of members that gives each its number.
numbered(Snapshot, Numbers) ->
    Map = maps:from_list(lists:zip(nodes_of(Snapshot), Numbers)),
    fun(#member{node = Node}) -> maps:get(Node, Map) end.

prop_sooner() ->
    ?FORALL(
        {A, B, Draw},
        {non_neg_integer(), non_neg_integer(), non_neg_integer()},
        begin
            Snapshot = #snapshot{by_node = ByNode} = snapshot(2),
            CostOf = numbered(Snapshot, [A, B]),
            Question = #{strategy => least_loaded, cost_of => CostOf, draw => Draw},
            CostOf(maps:get(node_for(Question, Snapshot), ByNode)) =:= min(A, B)
        end
    ).

prop_never_heaviest() ->
    ?FORALL(
        {Count, Draw},
        {range(2, 20), non_neg_integer()},
        begin
            Snapshot = snapshot(Count),
            CostOf = numbered(Snapshot, lists:seq(1, Count)),
            Node = node_for(
                #{strategy => least_loaded, cost_of => CostOf, draw => Draw}, Snapshot
            ),
            Node =/= lists:last(nodes_of(Snapshot))
        end
    ).

counts(Nodes) ->
    lists:foldl(fun(N, Acc) -> maps:update_with(N, fun(C) -> C + 1 end, 1, Acc) end, #{}, Nodes).

draw(I) -> erlang:phash2({draw, I}, 1 bsl 32).

%% Calls one after the other: nothing is ever in flight when one is placed.
prop_shares_of_the_idle() ->
    ?FORALL(
        Times,
        range(1, 9),
        begin
            Snapshot = snapshot(2),
            [Fast, Slow] = nodes_of(Snapshot),
            PaceOf = numbered(Snapshot, [1, Times]),
            Counts = counts([
                node_for(#{strategy => least_loaded, pace_of => PaceOf, draw => draw(I)}, Snapshot)
             || I <- lists:seq(1, 4000)
            ]),
            Ratio = maps:get(Fast, Counts) / maps:get(Slow, Counts),
            Ratio > 0.8 * Times andalso Ratio < 1.25 * Times
        end
    ).

%% Many callers, each with its next call as soon as the last one is answered; a worker answers one
%% call after the other in its own time.
prop_shares() ->
    ?FORALL(
        {Paces, Callers},
        {?SUCH(N, range(2, 8), lists:duplicate(N, range(1, 10))), range(8, 64)},
        begin
            Snapshot = snapshot(length(Paces)),
            Served = simulate(Snapshot, maps:from_list(lists:zip(nodes_of(Snapshot), Paces)), Callers),
            By = [{Pace, maps:get(N, Served, 0)} || {N, Pace} <- lists:zip(nodes_of(Snapshot), Paces)],
            lists:all(fun({_, Count}) -> Count > 0 end, By) andalso
                lists:all(
                    fun({{P1, C1}, {P2, C2}}) -> P1 * 2 > P2 orelse C1 > C2 end,
                    [{A, B} || A <- By, B <- By]
                )
        end
    ).

simulate(Snapshot, Paces, Callers) ->
    Idle = maps:map(fun(_, _) -> 0 end, Paces),
    {Queued, Free} = lists:foldl(
        fun(I, Acc) -> place(I, 0, Snapshot, Paces, Acc) end, {[], Idle}, lists:seq(1, Callers)
    ),
    simulate(3000, Callers, Snapshot, Paces, {Queued, Free}, []).

%% Queued: `{When it is answered, Worker}', the next one first. Free: when each worker is done.
place(I, Now, Snapshot, Paces, {Queued, Free}) ->
    InFlight = counts([Node || {_, Node} <- Queued]),
    Cost = fun(#member{node = N}) -> maps:get(N, InFlight, 0) * maps:get(N, Paces) end,
    Node = node_for(
        #{
            strategy => least_loaded, cost_of => Cost, draw => draw(I),
            pace_of => fun(#member{node = N}) -> maps:get(N, Paces) end
        },
        Snapshot
    ),
    Done = max(Now, maps:get(Node, Free)) + maps:get(Node, Paces),
    {lists:merge([{Done, Node}], Queued), Free#{Node := Done}}.

simulate(0, _, _, _, _, Served) ->
    counts(Served);
simulate(Left, I, Snapshot, Paces, {[{Now, Node} | Queued], Free}, Served) ->
    State = place(I + 1, Now, Snapshot, Paces, {Queued, Free}),
    simulate(Left - 1, I + 1, Snapshot, Paces, State, [Node | Served]).

prop_only_own_keys_move() ->
    ?FORALL(
        {Count, Gone, Keys},
        {range(2, 12), range(1, 12), list(key())},
        begin
            Snapshot = #snapshot{remote = Remote} = consistent_snapshot(Count),
            Lost = element(1 + Gone rem Count, Remote),
            Left = ml_cluster_balancer:snapshot(
                tuple_to_list(Remote) -- [Lost], [], consistent, Snapshot
            ),
            lists:all(
                fun(Key) ->
                    Before = node_for(#{strategy => consistent, key => Key}, Snapshot),
                    After = node_for(#{strategy => consistent, key => Key}, Left),
                    Before =:= ml_cluster_balancer:owner(Key, Snapshot) andalso
                        (Before =:= After orelse Before =:= Lost#member.node)
                end,
                Keys
            )
        end
    ).

prop_bounded() ->
    ?FORALL(
        {Loads, Key},
        {?SUCH(N, range(1, 12), lists:duplicate(N, range(0, 100))), key()},
        begin
            Snapshot = #snapshot{by_node = ByNode} = consistent_snapshot(length(Loads)),
            Question = busy(Loads, Key, Snapshot),
            #{in_flight_of := InFlightOf} = Question,
            Chosen = maps:get(node_for(Question, Snapshot), ByNode),
            InFlightOf(Chosen) < ml_cluster_balancer:bound(lists:sum(Loads), length(Loads))
        end
    ).

busy(Loads, Key, Snapshot) ->
    InFlightOf = numbered(Snapshot, Loads),
    #{strategy => consistent, key => Key, in_flight_of => InFlightOf, in_flight => lists:sum(Loads)}.

%% With the owner full the key goes elsewhere, and to the same worker each time.
prop_stable_over_the_bound() ->
    ?FORALL(
        {Count, Key},
        {range(2, 12), key()},
        begin
            Snapshot = consistent_snapshot(Count),
            Owner = ml_cluster_balancer:owner(Key, Snapshot),
            Loads = [
                case Node of
                    Owner -> 1000;
                    _ -> 0
                end
             || Node <- nodes_of(Snapshot)
            ],
            [First | Again] = [
                node_for((busy(Loads, Key, Snapshot))#{draw => D}, Snapshot) || D <- [1, 2, 3]
            ],
            First =/= Owner andalso Again =:= [First, First]
        end
    ).

%% A few calls at once are no reason to leave the worker whose cache has the text.
bound_test() ->
    ?assertEqual([4, 4, 5], [ml_cluster_balancer:bound(N, 3) || N <- [0, 8, 11]]),
    ?assertEqual(126, ml_cluster_balancer:bound(10000, 100)).
