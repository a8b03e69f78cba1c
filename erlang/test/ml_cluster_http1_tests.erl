-module(ml_cluster_http1_tests).
-include_lib("eunit/include/eunit.hrl").
-include("ml_cluster_proper.hrl").
-import(proper_types, [list/1, binary/0, byte/0, oneof/1, frequency/1, pos_integer/0]).

head(Text) -> ml_cluster_http1:head(iolist_to_binary(Text), 0, 32768).

a_head_test() ->
    {ok, Head, <<"body">>} = head(
        "POST /infer?x=1#y HTTP/1.1\r\nHost: a\r\nX-Some_Thing:  two words \t\r\nEMPTY:\r\n"
        "x-some_thing: again\r\n\r\nbody"
    ),
    ?assertEqual(
        #{
            method => <<"POST">>,
            path => <<"/infer">>,
            version => {1, 1},
            headers => #{
                <<"host">> => <<"a">>,
                <<"x-some_thing">> => <<"two words, again">>,
                <<"empty">> => <<>>
            }
        },
        Head
    ).

targets_test_() ->
    [
        ?_assertMatch({ok, #{path := Path}, <<>>}, head(["GET ", Target, " HTTP/1.1\r\nhost: a\r\n\r\n"]))
     || {Target, Path} <- [
            {"/", <<"/">>},
            {"http://a:80/x/y?z", <<"/x/y">>},
            {"https://a", <<"/">>},
            {"*", <<"*">>},
            {"/%2e%2e/x", <<"/%2e%2e/x">>}
        ]
    ].

%% What two parsers could read in two ways.
refused_test_() ->
    [
        ?_assertMatch({error, {malformed, _}}, head([Lines, "\r\n\r\n"]))
     || Lines <- [
            "GET / HTTP/1.1",
            "GET / HTTP/1.1\r\nhost: a\r\nhost: b",
            "GET / HTTP/1.1\r\nhost : a",
            "GET / HTTP/1.1\r\nhost: a\r\n folded: x",
            "GET / HTTP/1.1\r\nhost: a\r\nx: 1\r\n\t2",
            "GET / HTTP/1.1\r\nhost: a\r\nx: 1\n2",
            "GET / HTTP/1.1\r\nhost: a\r\nx: 1\r2",
            "GET / HTTP/1.1\r\nhost: a\r\nx: 1\0",
            "GET / HTTP/1.1\r\nhost: a\r\nno colon",
            "GET / HTTP/1.1\r\nhost: a\r\n: no name",
            "GET / HTTP/1.1\r\nhost: a\r\nx\"y: 1",
            "GET  / HTTP/1.1\r\nhost: a",
            "GET /a b HTTP/1.1\r\nhost: a",
            "G@T / HTTP/1.1\r\nhost: a",
            "GET /\t HTTP/1.1\r\nhost: a",
            "GET /",
            " GET / HTTP/1.1\r\nhost: a"
        ]
    ].

sizes_test_() ->
    Long = lists:duplicate(9000, $x),
    [
        ?_assertEqual({error, uri_too_long}, head(["GET /", Long, " HTTP/1.1\r\nhost: a\r\n\r\n"])),
        ?_assertEqual({error, uri_too_long}, head(["GET /", lists:duplicate(40000, $x)])),
        ?_assertMatch(
            {error, {head_too_large, _}},
            head(["GET / HTTP/1.1\r\nhost: a\r\n", lists:duplicate(200, "x: y\r\n"), "\r\n"])
        ),
        ?_assertMatch(
            {error, {head_too_large, _}}, head(["GET / HTTP/1.1\r\nx: ", lists:duplicate(40000, $x)])
        ),
        ?_assertMatch({error, {version, _}}, head("GET / HTTP/2.0\r\n\r\n")),
        ?_assertMatch({error, {version, _}}, head("GET / HTTP/1.x\r\n\r\n")),
        ?_assertMatch({error, {version, _}}, head("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))
    ].

persistence_test_() ->
    [
        ?_assertEqual(Expected, ml_cluster_http1:is_persistent(#{
            version => Version, headers => Headers, method => <<>>, path => <<>>
        }))
     || {Expected, Version, Headers} <- [
            {true, {1, 1}, #{}},
            {false, {1, 1}, #{<<"connection">> => <<"TE, Close">>}},
            {true, {1, 1}, #{<<"connection">> => <<255>>}},
            {false, {1, 1}, #{<<"connection">> => <<255, ", Close">>}},
            {false, {1, 0}, #{}},
            {true, {1, 0}, #{<<"connection">> => <<"Keep-Alive">>}}
        ]
    ].

declared(Version, Headers) ->
    ml_cluster_http1:declared(#{
        version => Version, headers => Headers, method => <<>>, path => <<>>
    }).

declared_lengths_test() ->
    D = fun(Headers) -> declared({1, 1}, Headers) end,
    ?assertEqual({ok, 0}, D(#{})),
    ?assertEqual({ok, 7}, D(#{<<"content-length">> => <<"7">>})),
    ?assertEqual({ok, chunked}, D(#{<<"transfer-encoding">> => <<"Chunked">>})),
    [
        ?assertMatch({error, {malformed, _}}, D(Headers))
     || Headers <- [
            #{<<"content-length">> => <<"7, 7">>},
            #{<<"content-length">> => <<"+7">>},
            #{<<"content-length">> => <<"0x7">>},
            #{<<"content-length">> => <<>>},
            #{<<"content-length">> => <<"1234567890123456">>},
            #{<<"content-length">> => <<"7">>, <<"transfer-encoding">> => <<"chunked">>},
            #{<<"transfer-encoding">> => <<"chunked, chunked">>},
            #{<<"transfer-encoding">> => <<"chunked", 255>>},
            #{<<"transfer-encoding">> => <<"gzip, chunked">>}
        ]
    ],
    ?assertMatch({error, {malformed, _}}, declared({1, 0}, #{<<"transfer-encoding">> => <<"chunked">>})).

bad_chunks_test_() ->
    [
        ?_assertMatch({error, {malformed, _}}, ml_cluster_http1:body({size, <<>>}, iolist_to_binary(Body)))
     || Body <- [
            "zz\r\n",
            "-1\r\n",
            "0x1\r\n",
            "123456789\r\n",
            "3\r\nabcdef\r\n",
            ["3;", lists:duplicate(2000, $x)],
            ["3;", lists:duplicate(1023, $x), "\r\nabc\r\n"],
            ";x\r\n",
            " 3\r\n",
            "3 3\r\n",
            "3\rabc",
            "3;a\nb\r\nabc\r\n",
            "3;a\rb\r\nabc\r\n",
            ["0\r\n", lists:duplicate(17, "a: b\r\n"), "\r\n"]
        ]
    ].

good_chunks_test_() ->
    [
        ?_assertEqual({last, <<"abc">>, <<"GET">>}, ml_cluster_http1:body({size, <<>>}, iolist_to_binary([Body, "GET"])))
     || Body <- [
            "3\r\nabc\r\n0\r\n\r\n",
            "00000003 \t\r\nabc\r\n0\r\n\r\n",
            "3;a=\"b\"\r\nabc\r\n0 ;\r\n\r\n",
            "1\r\na\r\n2\r\nbc\r\n000\r\na: b\r\n\r\n",
            ["3;", lists:duplicate(1022, $x), "\r\nabc\r\n0\r\n\r\n"]
        ]
    ].

hexadecimal_test() ->
    {more, <<>>, Decoder} = ml_cluster_http1:body({size, <<>>}, <<"19afAF\r\n">>),
    ?assertEqual(16#19afAF, ml_cluster_http1:pending(Decoder)).

%% However many chunks there are in one read, each costs the same, and nothing but its data is kept.
chunks_of_a_byte_test_() ->
    {timeout, 30, fun() ->
        Count = 500000,
        Sent = binary:copy(<<"1\r\n \r\n">>, Count),
        Heap = #{size => 1000000, kill => true, error_logger => false},
        {Pid, Ref} = spawn_opt(
            fun() ->
                {more, Data, {size, <<>>}} = ml_cluster_http1:body({size, <<>>}, Sent),
                exit({read, byte_size(iolist_to_binary(Data))})
            end,
            [monitor, {max_heap_size, Heap}]
        ),
        receive {'DOWN', Ref, process, Pid, Reason} -> ?assertEqual({read, Count}, Reason) end
    end}.

what_is_to_come_test() ->
    {more, _, Decoder} = ml_cluster_http1:body({size, <<>>}, <<"ffffffff\r\nabc">>),
    ?assertEqual(16#ffffffff - 3, ml_cluster_http1:pending(Decoder)).

%% ---- Whatever the pieces ----

%% Bytes in pieces of the given sizes, again and again.
cut(<<>>, _) -> [];
cut(Bytes, [Size | Sizes]) when byte_size(Bytes) > Size ->
    <<Piece:Size/binary, Rest/binary>> = Bytes,
    [Piece | cut(Rest, Sizes ++ [Size])];
cut(Bytes, _) -> [Bytes].

decoded(_, [], Read) -> {unfinished, iolist_to_binary(Read)};
decoded(Decoder, [Piece | Pieces], Read) ->
    case ml_cluster_http1:body(Decoder, Piece) of
        {more, Data, Next} -> decoded(Next, Pieces, [Read | Data]);
        {last, Data, Rest} -> {whole, iolist_to_binary([Read | Data]), iolist_to_binary([Rest | Pieces])};
        {error, _} = Error -> Error
    end.

any_cut_of_chunks_test_() ->
    {timeout, 60, ?_assert(proper:quickcheck(prop_any_cut_of_chunks(), [{numtests, 300}, quiet]))}.

prop_any_cut_of_chunks() ->
    ?FORALL({Chunks, Sizes}, {list(binary()), list(pos_integer())}, begin
        Full = [Chunk || Chunk <- Chunks, Chunk =/= <<>>],
        Sent = iolist_to_binary([
            [ml_cluster_http1:chunk(Chunk) || Chunk <- Full], "0\r\nTrailer: x\r\n\r\nGET"
        ]),
        decoded(ml_cluster_http1:body(chunked), cut(Sent, Sizes ++ [7]), []) =:=
            {whole, iolist_to_binary(Full), <<"GET">>}
    end).

any_cut_of_a_head_test_() ->
    {timeout, 60, ?_assert(proper:quickcheck(prop_any_cut_of_a_head(), [{numtests, 300}, quiet]))}.

prop_any_cut_of_a_head() ->
    Text = <<"GET /x HTTP/1.1\r\nhost: a\r\nsome: thing\r\n\r\n">>,
    ?FORALL(Sizes, list(pos_integer()), begin
        {ok, #{path := <<"/x">>}, <<>>} = fed(<<>>, 0, cut(Text, Sizes ++ [5])),
        true
    end).

fed(Buffer, Scanned, [Piece | Pieces]) ->
    Longer = <<Buffer/binary, Piece/binary>>,
    case ml_cluster_http1:head(Longer, Scanned, 32768) of
        more -> fed(Longer, byte_size(Longer), Pieces);
        Answer when Pieces =:= [] -> Answer
    end.

garbage_test_() ->
    {timeout, 60, ?_assert(proper:quickcheck(prop_garbage(), [{numtests, 1000}, quiet]))}.

prop_garbage() ->
    Piece = frequency([
        {1, byte()},
        {3, oneof(["\r\n", "GET / HTTP/1.1\r\n", "host: x\r\n", ": ", "\r\n\r\n", "5\r\n", "0", " "])}
    ]),
    ?FORALL(Pieces, list(Piece), begin
        Bytes = iolist_to_binary(Pieces),
        is_answer(ml_cluster_http1:head(Bytes, 0, 1024)) andalso
            is_answer(ml_cluster_http1:body({size, <<>>}, Bytes))
    end).

is_answer(more) -> true;
is_answer({more, _, _}) -> true;
is_answer({error, _}) -> true;
is_answer({ok, #{}, Rest}) -> is_binary(Rest);
is_answer({last, _, Rest}) -> is_binary(Rest).
