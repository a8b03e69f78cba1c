-module(ml_cluster_balancer_tests).
-include_lib("eunit/include/eunit.hrl").
-include("ml_cluster_proper.hrl").
-import(proper_types, [range/2, list/1, oneof/1, non_empty/1, non_neg_integer/0]).
-include("../src/ml_cluster.hrl").

member(I) ->
    Node = list_to_atom("worker" ++ integer_to_list(I) ++ "@127.0.0.1"),
    #member{
        node = Node,
        hash = ml_cluster_balancer:hash(Node),
        gauges = ml_cluster_table:new_gauges()
    }.

snapshot(Count) -> #snapshot{remote = list_to_tuple([member(I) || I <- lists:seq(1, Count)])}.

question(Changes) ->
    maps:merge(
        #{
            strategy => round_robin,
            tried => [],
            ticket => 0,
            random => {0, 0},
            key => 0,
            load_of => fun(_) -> 0 end
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
    Chosen = [node_for(#{ticket => T}, Snapshot) || T <- lists:seq(0, 8)],
    Nodes = nodes_of(Snapshot),
    ?assertEqual(Nodes ++ Nodes ++ Nodes, Chosen).

preferred_is_taken_unless_tried_test() ->
    Snapshot = snapshot(3),
    [First, Second, _] = nodes_of(Snapshot),
    ?assertEqual(Second, node_for(#{prefer => Second}, Snapshot)),
    ?assertEqual(First, node_for(#{prefer => Second, tried => [Second]}, Snapshot)).

local_is_last_test() ->
    #snapshot{remote = Remote} = Snapshot = snapshot(1),
    Local = (member(99))#member{role = local},
    Both = Snapshot#snapshot{local = {Local}},
    #member{node = Node} = element(1, Remote),
    ?assertEqual(Node, node_for(#{}, Both)),
    ?assertEqual(Local#member.node, node_for(#{tried => [Node]}, Both)),
    ?assertEqual(
        none,
        ml_cluster_balancer:choose(question(#{tried => [Node, Local#member.node]}), Both)
    ).

properties_test_() ->
    [
        {timeout, 60, {Name, ?_assert(proper:quickcheck(Property, [{numtests, 300}, quiet]))}}
     || {Name, Property} <- [
            {"never a tried worker, never none while one is left", prop_untried()},
            {"of two drawn, least_loaded takes the less loaded", prop_less_loaded()},
            {"the most loaded of many is never least_loaded", prop_never_heaviest()},
            {"a worker that goes moves only its own keys", prop_only_own_keys_move()},
            {"consistent never picks a worker over its bound", prop_bounded()}
        ]
    ].

strategy() -> oneof([round_robin, least_loaded, consistent]).

prop_untried() ->
    ?FORALL(
        {Count, Strategy, Seed, Picks},
        {range(1, 20), strategy(), non_neg_integer(), list(range(1, 20))},
        begin
            Snapshot = snapshot(Count),
            Nodes = nodes_of(Snapshot),
            Tried = lists:usort([lists:nth(P, Nodes) || P <- Picks, P =< Count]),
            Question = question(#{
                strategy => Strategy, tried => Tried, ticket => Seed, random => {Seed, Seed div 3},
                key => Seed
            }),
            case ml_cluster_balancer:choose(Question, Snapshot) of
                none -> length(Tried) =:= Count;
                {ok, #member{node = Node}} -> not lists:member(Node, Tried)
            end
        end
    ).

loads(Snapshot, Loads) ->
    Map = maps:from_list(lists:zip(nodes_of(Snapshot), Loads)),
    fun(#member{node = Node}) -> maps:get(Node, Map) end.

prop_less_loaded() ->
    ?FORALL(
        {A, B, Random},
        {non_neg_integer(), non_neg_integer(), {non_neg_integer(), non_neg_integer()}},
        begin
            Snapshot = snapshot(2),
            LoadOf = loads(Snapshot, [A, B]),
            Node = node_for(
                #{strategy => least_loaded, load_of => LoadOf, random => Random}, Snapshot
            ),
            LoadOf(#member{node = Node, hash = 0, gauges = make_ref()}) =:= min(A, B)
        end
    ).

prop_never_heaviest() ->
    ?FORALL(
        {Count, Random},
        {range(2, 20), {non_neg_integer(), non_neg_integer()}},
        begin
            Snapshot = snapshot(Count),
            LoadOf = loads(Snapshot, lists:seq(1, Count)),
            Node = node_for(
                #{strategy => least_loaded, load_of => LoadOf, random => Random}, Snapshot
            ),
            Node =/= lists:last(nodes_of(Snapshot))
        end
    ).

prop_only_own_keys_move() ->
    ?FORALL(
        {Count, Gone, Keys},
        {range(2, 30), range(1, 30), list(range(0, 1 bsl 32 - 1))},
        begin
            Snapshot = #snapshot{remote = Remote} = snapshot(Count),
            Lost = element(1 + Gone rem Count, Remote),
            Left = Snapshot#snapshot{remote = list_to_tuple(tuple_to_list(Remote) -- [Lost])},
            lists:all(
                fun(Key) ->
                    Before = node_for(#{strategy => consistent, key => Key}, Snapshot),
                    After = node_for(#{strategy => consistent, key => Key}, Left),
                    Before =:= After orelse Before =:= Lost#member.node
                end,
                Keys
            )
        end
    ).

prop_bounded() ->
    ?FORALL(
        {Loads, Key},
        {non_empty(list(range(0, 100))), range(0, 1 bsl 32 - 1)},
        begin
            Snapshot = snapshot(length(Loads)),
            LoadOf = loads(Snapshot, Loads),
            Node = node_for(#{strategy => consistent, key => Key, load_of => LoadOf}, Snapshot),
            Bound = 1.25 * (lists:sum(Loads) + 1) / length(Loads),
            LoadOf(#member{node = Node, hash = 0, gauges = make_ref()}) =< Bound
        end
    ).

keys_spread_evenly_test() ->
    Snapshot = snapshot(10),
    Counts = lists:foldl(
        fun(Key, Acc) ->
            Node = node_for(#{strategy => consistent, key => ml_cluster_balancer:hash(Key)}, Snapshot),
            maps:update_with(Node, fun(N) -> N + 1 end, 1, Acc)
        end,
        #{},
        lists:seq(1, 10000)
    ),
    ?assertEqual(10, map_size(Counts)),
    [?assert(N > 800 andalso N < 1200) || N <- maps:values(Counts)].
