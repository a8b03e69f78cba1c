-module(ml_cluster_auth_tests).
-include_lib("eunit/include/eunit.hrl").

no_file_lets_all_in_test() ->
    {ok, Keys} = ml_cluster_auth:read(undefined),
    ?assert(ml_cluster_auth:allows(Keys, undefined)).

keys_test() ->
    File = filename:join("/tmp", "ml_cluster_auth_tests." ++ os:getpid()),
    ok = file:write_file(File, "# comment\r\none\r\n\ntwo two\n"),
    {ok, Keys} = ml_cluster_auth:read(File),
    ok = file:delete(File),
    [
        ?assertEqual({Header, Allowed}, {Header, ml_cluster_auth:allows(Keys, Header)})
     || {Header, Allowed} <- [
            {<<"Bearer one">>, true},
            {<<"bearer two two">>, true},
            {<<"Bearer ">>, false},
            {<<"Bearer # comment">>, false},
            {<<"Bearer onetwo">>, false},
            {<<"Basic one">>, false},
            {<<"one">>, false},
            {undefined, false}
        ]
    ],
    ?assertEqual(nomatch, binary:match(term_to_binary(Keys), <<"one">>)).

a_file_without_keys_is_refused_test() ->
    ?assertMatch({error, _}, ml_cluster_auth:read("/no/such/file")),
    ?assertMatch({error, _}, ml_cluster_auth:read("/dev/null")).
