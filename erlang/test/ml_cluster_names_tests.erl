-module(ml_cluster_names_tests).
-include_lib("eunit/include/eunit.hrl").

prefixes_test() ->
    Prefixes = [<<"gpu">>, <<"worker">>],
    ?assert(ml_cluster_names:matches('gpu1@h', Prefixes)),
    ?assert(ml_cluster_names:matches("worker", Prefixes)),
    ?assertNot(ml_cluster_names:matches("work", Prefixes)),
    ?assertNot(ml_cluster_names:matches("agpu@h", Prefixes)),
    ?assertNot(ml_cluster_names:matches("gpu1", [])),
    ?assertNot(ml_cluster_names:matches([16#FF, 16#3042], Prefixes)).

only_node_names_become_atoms_test() ->
    ?assertEqual({ok, 'gpu1@10.0.0.7'}, ml_cluster_names:on_host("gpu1", "10.0.0.7")),
    Count = erlang:system_info(atom_count),
    [
        ?assertEqual(error, ml_cluster_names:to_node(Name))
     || Name <- [<<"nohost_zq">>, <<"a b_zq@h">>, <<"@h_zq">>, <<"n_zq@">>, <<"n_zq@h\n">>,
                 binary:copy(<<"a">>, 300)]
    ],
    ?assertEqual(Count, erlang:system_info(atom_count)).

parts_test() ->
    ?assertEqual({"front", "h.x"}, {ml_cluster_names:base('front@h.x'), ml_cluster_names:host('front@h.x')}),
    ?assertEqual('ml_local_front@h.x', ml_cluster_local:node_name(undefined, 'front@h.x')),
    ?assertEqual('mine@h', ml_cluster_local:node_name('mine@h', 'front@h.x')).
