-module(ml_cluster_auth_tests).
-include_lib("eunit/include/eunit.hrl").

no_file_lets_all_in_test() ->
    {ok, Keys} = ml_cluster_auth:read(undefined),
    ?assert(ml_cluster_auth:allows(Keys, undefined)).

keys_test() ->
    {ok, Keys} = read(<<"# comment: Schl\xfcssel\r\none\r\n\n \ttwo two \n">>),
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

a_byte_order_mark_is_no_part_of_a_key_test() ->
    {ok, Keys} = read([<<16#feff/utf8>>, "one\n"]),
    ?assert(ml_cluster_auth:allows(Keys, <<"Bearer one">>)).

%% UTF-16 as an editor saves it, with and without its mark, umlauts, what a terminal takes for orders.
other_bytes_are_refused_and_not_shown_test_() ->
    [
        ?_assertEqual({error, <<"keys in printable ASCII, one a line">>}, read(Text))
     || Text <- [
            [<<16#feff/utf16-little>>, [<<C/utf16-little>> || C <- "secret\n"]],
            [<<16#feff/utf16>>, [<<C/utf16>> || C <- "secret\n"]],
            [<<C/utf16-little>> || C <- "secret\n"],
            <<"good\nSchl\xc3\xbcssel\n">>,
            <<"secret\e[2J\n">>
        ]
    ].

read(Text) ->
    File = filename:join("/tmp", "ml_cluster_auth_tests." ++ os:getpid()),
    ok = file:write_file(File, Text),
    try
        ml_cluster_auth:read(File)
    after
        ok = file:delete(File)
    end.
