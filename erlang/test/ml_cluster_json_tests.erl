-module(ml_cluster_json_tests).
-include_lib("eunit/include/eunit.hrl").
-include("ml_cluster_proper.hrl").
-import(proper_unicode, [utf8/0]).
-import(proper_types, [integer/0, float/0, boolean/0, list/1, oneof/1, frequency/1, byte/0, range/2]).

decode(Text) -> ml_cluster_json:decode(iolist_to_binary(Text), 1000000).
encode(Term) -> iolist_to_binary(ml_cluster_json:encode(Term)).

values_test_() ->
    [
        ?_assertEqual({ok, Value}, decode(Text))
     || {Text, Value} <- [
            {"{}", #{}},
            {" {\"a\": [1, 2.5, true, null, \"x\"]} ", #{<<"a">> => [1, 2.5, true, null, <<"x">>]}},
            {"\"\\u00e9\\n\\\"\\\\\"", <<"é\n\"\\"/utf8>>},
            {"[\"]\", \"[[[[\"]", [<<"]">>, <<"[[[[">>]},
            {"\"\\ud83d\\ude00\"", <<"😀"/utf8>>}
        ]
    ].

refused_test_() ->
    [
        ?_assertMatch({error, {malformed, What}} when is_binary(What), decode(Text))
     || Text <- [
            "",
            "{",
            "nope",
            "\"unfinished",
            "\"unfinished\\",
            "[1] 2",
            "{\"a\":1,\"a\":2}",
            "[{\"b\":{\"a\":1,\"a\":1}}]",
            [$", 16#FF, $"],
            "\"\\ud800\"",
            "\"\\udc00x\"",
            lists:duplicate(33, $[),
            [lists:duplicate(33, "{\"a\":"), "1", lists:duplicate(33, "}")]
        ]
    ].

%% A million digits would cost seconds in the decoder.
a_long_number_costs_nothing_test() ->
    Text = binary:copy(<<"9">>, 1000000),
    {Micros, Result} = timer:tc(fun() -> decode(Text) end),
    ?assertEqual({error, {malformed, <<"a number of more than 64 characters">>}}, Result),
    ?assert(Micros < 100000),
    ?assertEqual({ok, 1.0e10}, decode("1.0e10")),
    ?assertEqual({ok, [-12]}, decode("[-12]")).

%% Commas and openings, wherever a value may come; not those in strings.
values_are_counted_test_() ->
    Many = {error, {too_large, <<"values">>, {at_least, 4}, 3}},
    [
        ?_assertEqual(Expected, ml_cluster_json:decode(Text, 3))
     || {Expected, Text} <- [
            {{ok, [1, 2, 3]}, <<"[1,2,3]">>},
            {{ok, [<<",[{,">>, <<"\",">>]}, <<"[\",[{,\",\"\\\",\"]">>},
            {{ok, [[[]]]}, <<"[[[]]]">>},
            {{ok, #{<<"a">> => 1, <<"b">> => 2, <<"c">> => 3}}, <<"{\"a\":1,\"b\":2,\"c\":3}">>},
            {Many, <<"[1,2,3,4]">>},
            {Many, <<"[{},{}]">>},
            {Many, <<"{\"a\":1,\"b\":2,\"c\":3,\"d\":4}">>},
            {Many, <<",,,,">>}
        ]
    ].

encodes_test_() ->
    [
        ?_assertEqual(Text, encode(Term))
     || {Term, Text} <- [
            {#{b => [1, true, null, undefined], a => 'w@h'},
                <<"{\"a\":\"w@h\",\"b\":[1,true,null,null]}">>},
            {[{json, <<"[0.5]">>}, 0.5], <<"[[0.5],0.5]">>},
            {<<"a\"b\\c\n", 1, "é"/utf8>>, <<"\"a\\\"b\\\\c\\n\\u0001é\""/utf8>>},
            {{a, 1}, <<"\"{a,1}\"">>},
            {#{<<"k">> => 1.0e22}, <<"{\"k\":1.0e22}">>},
            {<<255>>, <<"\"ÿ\""/utf8>>}
        ]
    ].

there_and_back_test_() ->
    {timeout, 60, ?_assert(proper:quickcheck(prop_there_and_back(), [{numtests, 100}, quiet]))}.

value() -> ?SIZED(Size, value(min(Size, 8))).

value(0) -> oneof([integer(), float(), boolean(), null, utf8()]);
value(Size) ->
    oneof([
        value(0),
        list(value(Size div 3)),
        ?SUCH(Pairs, list({utf8(), value(Size div 3)}), maps:from_list(Pairs))
    ]).

prop_there_and_back() -> ?FORALL(Value, value(), decode(encode(Value)) =:= {ok, Value}).

%% Whatever the bytes, an answer and no crash.
garbage_test_() ->
    {timeout, 60, ?_assert(proper:quickcheck(prop_garbage(), [{numtests, 2000}, quiet]))}.

prop_garbage() ->
    Byte = frequency([{1, byte()}, {3, oneof("{}[]\",:\\u0123456789eE+-. tfn")}]),
    ?FORALL(
        Bytes,
        list(Byte),
        case decode(Bytes) of
            {ok, _} -> true;
            {error, {malformed, What}} -> is_binary(What)
        end
    ).

%% Wherever it stands, and whatever is before it.
a_long_number_is_found_test_() ->
    Text = fun(Before, Digits) -> ["[\"", lists:duplicate(Before, $x), "\",", lists:duplicate(Digits, $9), "]"] end,
    [
        ?_assertMatch({{ok, [_, _]}, {error, _}}, {decode(Text(Before, 64)), decode(Text(Before, 65))})
     || Before <- lists:seq(0, 70)
    ].

%% A tame text is not scanned, one of more than 64 KB with so many values is; both ways say the same.
tame_texts_pass_the_scan_test_() ->
    {timeout, 60, ?_assert(proper:quickcheck(prop_tame_texts_pass_the_scan(), [{numtests, 2000}, quiet]))}.

prop_tame_texts_pass_the_scan() ->
    Blanks = binary:copy(<<" ">>, 65536),
    Byte = frequency([{1, byte()}, {3, oneof("{}[]\",:\\0")}]),
    ?FORALL(
        Runs,
        list({Byte, frequency([{9, 1}, {1, range(1, 70)}])}),
        begin
            Text = iolist_to_binary([binary:copy(<<C>>, Count) || {C, Count} <- Runs]),
            ml_cluster_json:decode(Text, 40) =:= ml_cluster_json:decode(<<Blanks/binary, Text/binary>>, 40)
        end
    ).
