-module(ml_cluster_ascii_tests).
-include_lib("eunit/include/eunit.hrl").
-include("ml_cluster_proper.hrl").
-import(proper_types, [binary/0]).

lowercase_test_() ->
    [
        ?_assertEqual(Expected, ml_cluster_ascii:lowercase(Text))
     || {Text, Expected} <- [
            {<<>>, <<>>},
            {<<"AZaz-@[`{09">>, <<"azaz-@[`{09">>},
            {<<"Close", 255, 0>>, <<"close", 255, 0>>},
            {<<"Ã">>, <<"Ã">>}
        ]
    ].

trim_test_() ->
    [
        ?_assertEqual(Expected, ml_cluster_ascii:trim(Text))
     || {Text, Expected} <- [
            {<<>>, <<>>},
            {<<" \t ">>, <<>>},
            {<<" \ta b\t ">>, <<"a b">>},
            {<<"a line of a file\r">>, <<"a line of a file">>},
            {<<" ", 255, " ">>, <<255>>}
        ]
    ].

any_bytes_test_() ->
    {timeout, 60, ?_assert(proper:quickcheck(prop_any_bytes(), [{numtests, 300}, quiet]))}.

prop_any_bytes() ->
    ?FORALL(Bytes, binary(), begin
        byte_size(ml_cluster_ascii:lowercase(Bytes)) =:= byte_size(Bytes) andalso
            ml_cluster_ascii:trim(<<" ", Bytes/binary, "\t">>) =:= ml_cluster_ascii:trim(Bytes)
    end).
