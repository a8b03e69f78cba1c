-module(ml_cluster_info_tests).
-include_lib("eunit/include/eunit.hrl").

check_test() ->
    ?assertMatch({ok, _}, ml_cluster_info:check(#{api => 1, anything => else})),
    ?assertEqual({error, {api, 1, 2}}, ml_cluster_info:check(#{api => 2})),
    ?assertEqual({error, {api, 1, none}}, ml_cluster_info:check(#{})),
    ?assertEqual({error, not_a_worker}, ml_cluster_info:check([])).

a_newer_workers_lists_are_read_with_suspicion_test() ->
    Opts = ml_cluster_info:opts(#{opts => [format, <<"usage">>, "odd", 7]}),
    ?assertEqual([<<"format">>, <<"usage">>], lists:sort(maps:keys(Opts))),
    ?assertEqual(#{}, ml_cluster_info:opts(#{opts => none})),
    ?assertEqual(#{}, ml_cluster_info:opts(#{})),
    ?assert(ml_cluster_info:names_function(health, #{functions => [<<"health">>]})),
    ?assert(ml_cluster_info:names_function(health, #{functions => [health]})),
    ?assertNot(ml_cluster_info:names_function(health, #{functions => all})).

models_test() ->
    Info = #{model => #{loaded_models => [<<"m">>, x], aliases => #{default => <<"m">>, b => 7}}},
    ?assertEqual(
        #{loaded => [<<"m">>], aliases => #{<<"default">> => <<"m">>}}, ml_cluster_info:models(Info)
    ),
    ?assertEqual(#{loaded => [], aliases => #{}}, ml_cluster_info:models(#{})).
