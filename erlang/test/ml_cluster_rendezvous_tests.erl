-module(ml_cluster_rendezvous_tests).
-include_lib("eunit/include/eunit.hrl").
-include("ml_cluster_proper.hrl").
-import(proper_types, [range/2, list/1]).

-define(KEYS, lists:seq(0, 16383)).

node_of(I) -> list_to_atom("worker" ++ integer_to_list(I) ++ "@127.0.0.1").

nodes_of(Numbers) -> lists:usort([node_of(I) || I <- Numbers]).

owners(Nodes) -> ml_cluster_rendezvous:update({}, [], Nodes).

properties_test_() ->
    [
        {timeout, 120, {Name, ?_assert(proper:quickcheck(Property, [{numtests, 25}, quiet]))}}
     || {Name, Property} <- [
            {"a change is the same as making anew", prop_update()},
            {"only the keys of those that go move", prop_only_own_keys_move()},
            {"the first of the ranking is the owner", prop_rank()}
        ]
    ].

prop_update() ->
    ?FORALL(
        {Before, After},
        {list(range(1, 12)), list(range(1, 12))},
        begin
            Old = nodes_of(Before),
            New = nodes_of(After),
            Changed = ml_cluster_rendezvous:update(owners(Old), Old, New),
            Changed =:= owners(New)
        end
    ).

%% Read from right to left: those that come take keys from the others and move none between them.
prop_only_own_keys_move() ->
    ?FORALL(
        {Stay, Go},
        {list(range(1, 10)), list(range(11, 20))},
        begin
            Stayed = nodes_of([0 | Stay]),
            Before = owners(Stayed ++ nodes_of(Go)),
            After = owners(Stayed),
            lists:all(
                fun(Key) ->
                    Owner = ml_cluster_rendezvous:owner(Key, Before),
                    not lists:member(Owner, Stayed) orelse
                        Owner =:= ml_cluster_rendezvous:owner(Key, After)
                end,
                ?KEYS
            )
        end
    ).

prop_rank() ->
    ?FORALL(
        {Numbers, Key},
        {list(range(1, 12)), range(0, 1 bsl 32 - 1)},
        begin
            Nodes = nodes_of([0 | Numbers]),
            [First | _] = Ranked = ml_cluster_rendezvous:rank(Key, Nodes),
            lists:sort(Ranked) =:= Nodes andalso
                First =:= ml_cluster_rendezvous:owner(Key, owners(Nodes))
        end
    ).

nobody_owns_nothing_test() ->
    ?assertEqual({}, owners([])),
    ?assertEqual({}, ml_cluster_rendezvous:update(owners([a]), [a], [])).

keys_spread_evenly_test() ->
    Owners = owners(nodes_of(lists:seq(1, 10))),
    Counts = lists:foldl(
        fun(Key, Acc) ->
            Owner = ml_cluster_rendezvous:owner(Key, Owners),
            maps:update_with(Owner, fun(N) -> N + 1 end, 1, Acc)
        end,
        #{},
        ?KEYS
    ),
    ?assertEqual(10, map_size(Counts)),
    [?assert(N > 1400 andalso N < 1900) || N <- maps:values(Counts)].
