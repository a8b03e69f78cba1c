%% @doc JSON in and out, by OTP's `json' where it is (27 and later), else by jiffy.
%%
%% Neither decoder bounds the nesting, the length of a number (a number of 100,000 digits costs 80 ms and
%% grows with the square) or how many values there are (three bytes of text become two hundred of memory),
%% so the text is looked at first. Of a key that stands twice jiffy keeps the last and `json' the first:
%% here it is an error.
-module(ml_cluster_json).

-export([decode/2, encode/1, available/0]).
-export_type([value/0, output/0]).

-type value() ::
    null | boolean() | number() | binary() | [value()] | #{binary() => value()}.
%% Besides values: atoms and tuples (as text), and `{json, Text}' for text that is JSON already.
-type output() :: term().

-define(MAX_DEPTH, 32).
-define(MAX_NUMBER, 64).
%% The longest text in which characters are counted: they are found as a list, with 56 bytes for each.
-define(TAME_BYTES, 65536).
%% Of a byte in a string: neither its end nor an escape.
-define(IS_TEXT(C), (C =/= $" andalso C =/= $\\)).
-define(IS_IN_NUMBER(C),
    (C >= $0 andalso C =< $9 orelse C =:= $. orelse C =:= $e orelse C =:= $E orelse C =:= $+ orelse C =:= $-)
).

%% @doc Is there a JSON library on this node?
-spec available() -> boolean().
available() -> library() =/= none.

%% @doc Decodes a whole text of not much more than so many values. The reason says what is wrong with it.
-spec decode(binary(), pos_integer()) ->
    {ok, value()}
    | {error, {malformed, binary()} | {too_large, binary(), {at_least, pos_integer()}, pos_integer()}}.
decode(Text, MaxValues) ->
    case is_tame(Text, MaxValues) orelse scan(Text, 0, MaxValues) of
        true -> parse(library(), Text);
        {_, _} -> parse(library(), Text);
        deep -> malformed(<<"nested deeper than 32">>);
        long -> malformed(<<"a number of more than 64 characters">>);
        many -> {error, {too_large, <<"values">>, {at_least, MaxValues + 1}, MaxValues}}
    end.

malformed(What) -> {error, {malformed, What}}.

%% Remembered: asking the code server for a module that is not there costs half a millisecond, and
%% there is one code server.
library() ->
    case persistent_term:get({?MODULE, library}, none) of
        none -> remembered(find_library());
        Library -> Library
    end.

remembered(none) ->
    none;
remembered(Library) ->
    ok = persistent_term:put({?MODULE, library}, Library),
    Library.

find_library() ->
    case code:ensure_loaded(json) of
        {module, json} -> json;
        {error, _} -> jiffy_or_none()
    end.

jiffy_or_none() ->
    case code:ensure_loaded(jiffy) of
        {module, jiffy} -> jiffy;
        {error, _} -> none
    end.

%% ---- The scan ----

%% Nearly every request is so tame that it needs no scan, wherever its strings begin and end.
is_tame(Text, MaxValues) when byte_size(Text) =< ?TAME_BYTES ->
    Openings = count(<<"[">>, Text) + count(<<"{">>, Text),
    Openings =< ?MAX_DEPTH andalso
        (byte_size(Text) =< MaxValues orelse Openings + count(<<",">>, Text) =< MaxValues) andalso
        has_short_numbers(Text);
is_tame(_, _) ->
    false.

count(Char, Text) -> length(binary:matches(Text, Char)).

%% Half the length of the longest number is left out at a time. What comes before is part of none, and
%% so is what comes after unless it begins with a part of one: then no more than the other half may follow.
has_short_numbers(<<_:(?MAX_NUMBER div 2 - 1)/binary, C, Rest/binary>>) when ?IS_IN_NUMBER(C) ->
    goes_on(Rest, ?MAX_NUMBER div 2);
has_short_numbers(<<_:(?MAX_NUMBER div 2)/binary, Rest/binary>>) ->
    has_short_numbers(Rest);
has_short_numbers(_) ->
    true.

goes_on(_, 0) -> false;
goes_on(<<C, Rest/binary>>, Left) when ?IS_IN_NUMBER(C) -> goes_on(Rest, Left - 1);
goes_on(<<_, Rest/binary>>, _) -> has_short_numbers(Rest);
goes_on(<<>>, _) -> true.

%% `Left': of the commas and openings that there may be. Each value but the first comes after one.
scan(<<$", Rest/binary>>, Depth, Left) -> in_string(Rest, Depth, Left);
scan(<<C, _/binary>>, ?MAX_DEPTH, _) when C =:= $[; C =:= ${ -> deep;
scan(<<C, _/binary>>, _, 0) when C =:= $,; C =:= $[; C =:= ${ -> many;
scan(<<$,, Rest/binary>>, Depth, Left) -> scan(Rest, Depth, Left - 1);
scan(<<C, Rest/binary>>, Depth, Left) when C =:= $[; C =:= ${ -> scan(Rest, Depth + 1, Left - 1);
scan(<<C, Rest/binary>>, Depth, Left) when C =:= $]; C =:= $} -> scan(Rest, Depth - 1, Left);
scan(<<C, Rest/binary>>, Depth, Left) when C >= $0, C =< $9 ->
    in_number(Rest, ?MAX_NUMBER - 1, Depth, Left);
scan(<<_, Rest/binary>>, Depth, Left) -> scan(Rest, Depth, Left);
scan(<<>>, Depth, Left) -> {Depth, Left}.

%% Nearly all bytes of a request are those of its texts: eight are looked at in a step.
in_string(<<A, B, C, D, E, F, G, H, Rest/binary>>, Depth, Left) when
    ?IS_TEXT(A), ?IS_TEXT(B), ?IS_TEXT(C), ?IS_TEXT(D),
    ?IS_TEXT(E), ?IS_TEXT(F), ?IS_TEXT(G), ?IS_TEXT(H)
->
    in_string(Rest, Depth, Left);
in_string(<<$", Rest/binary>>, Depth, Left) ->
    scan(Rest, Depth, Left);
in_string(<<$\\, _, Rest/binary>>, Depth, Left) ->
    in_string(Rest, Depth, Left);
in_string(<<_, Rest/binary>>, Depth, Left) ->
    in_string(Rest, Depth, Left);
in_string(<<>>, Depth, Left) ->
    {Depth, Left}.

in_number(<<C, Rest/binary>>, Digits, Depth, Left) when ?IS_IN_NUMBER(C) ->
    case Digits of
        0 -> long;
        _ -> in_number(Rest, Digits - 1, Depth, Left)
    end;
in_number(Rest, _, Depth, Left) ->
    scan(Rest, Depth, Left).

%% ---- Decoding ----

parse(none, _) ->
    malformed(<<"no JSON library: this node needs OTP 27 or jiffy">>);
parse(Library, Text) ->
    try
        {ok, parse_with(Library, Text)}
    catch
        throw:{duplicate_key, _} -> malformed(<<"a key stands twice in an object">>);
        error:_ -> malformed(<<"not JSON in UTF-8">>);
        throw:_ -> malformed(<<"not JSON in UTF-8">>)
    end.

parse_with(jiffy, Text) ->
    from_jiffy(call(jiffy, decode, [Text, [copy_strings]]));
parse_with(json, Text) ->
    Decoders = #{object_finish => fun(Pairs, Outer) -> {object(Pairs), Outer} end},
    case call(json, decode, [Text, ok, Decoders]) of
        {Value, ok, Rest} -> only_blanks(Rest, Value)
    end.

only_blanks(<<C, Rest/binary>>, Value) when C =:= $\s; C =:= $\t; C =:= $\n; C =:= $\r ->
    only_blanks(Rest, Value);
only_blanks(<<>>, Value) ->
    Value;
only_blanks(_, _) ->
    error(trailing_text).

from_jiffy({Pairs}) -> object([{Key, from_jiffy(Value)} || {Key, Value} <- Pairs]);
from_jiffy(List) when is_list(List) -> [from_jiffy(Item) || Item <- List];
from_jiffy(Other) -> Other.

object(Pairs) ->
    Map = maps:from_list(Pairs),
    case map_size(Map) =:= length(Pairs) of
        true -> Map;
        false -> throw({duplicate_key, Pairs})
    end.

%% Neither is there on every node; an indirect call keeps xref and Dialyzer quiet about that.
call(Library, Function, Args) -> apply(Library, Function, Args).

%% ---- Encoding ----

%% @doc JSON text of a term. Vectors come as `{json, Text}' from the worker and are not touched.
-spec encode(output()) -> iodata().
encode({json, Text}) -> Text;
encode(true) -> <<"true">>;
encode(false) -> <<"false">>;
encode(null) -> <<"null">>;
encode(undefined) -> <<"null">>;
encode(Atom) when is_atom(Atom) -> string(atom_to_binary(Atom));
encode(Binary) when is_binary(Binary) -> string(Binary);
encode(Integer) when is_integer(Integer) -> integer_to_binary(Integer);
encode(Float) when is_float(Float) -> number(Float);
encode(List) when is_list(List) -> [$[, lists:join($,, [encode(Item) || Item <- List]), $]];
encode(Map) when is_map(Map) -> [${, lists:join($,, members(Map)), $}];
encode(Other) -> string(unicode:characters_to_binary(io_lib:format("~0tp", [Other]))).

%% Sorted, so that a reply is the same text each time.
members(Map) ->
    [[key(Key), $:, encode(Value)] || {Key, Value} <- lists:sort(maps:to_list(Map))].

key(Key) when is_atom(Key) -> string(atom_to_binary(Key));
key(Key) when is_binary(Key) -> string(Key);
key(Key) -> string(unicode:characters_to_binary(io_lib:format("~0tp", [Key]))).

number(Float) -> io_lib_format:fwrite_g(Float).

string(Binary) ->
    case is_plain(Binary) of
        true -> [$", Binary, $"];
        false -> escaped(Binary)
    end.

%% Most strings of our replies are names, which need neither escapes nor a library.
is_plain(<<C, Rest/binary>>) when C >= 16#20, C < 16#7F, C =/= $", C =/= $\\ -> is_plain(Rest);
is_plain(<<>>) -> true;
is_plain(_) -> false.

escaped(Binary) ->
    case unicode:characters_to_list(Binary) of
        Text when is_list(Text) -> [$", [escape(C) || C <- Text], $"];
        %% Bytes from a node that does not keep to UTF-8: shown as Latin-1 rather than refused.
        _ -> [$", [escape(C) || C <- binary_to_list(Binary)], $"]
    end.

escape($") -> <<"\\\"">>;
escape($\\) -> <<"\\\\">>;
escape($\n) -> <<"\\n">>;
escape($\r) -> <<"\\r">>;
escape($\t) -> <<"\\t">>;
escape(C) when C < 16#20; C =:= 16#7F -> io_lib:format("\\u~4.16.0b", [C]);
escape(C) -> <<C/utf8>>.
