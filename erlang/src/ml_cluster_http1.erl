%% @doc HTTP/1.1 as bytes: heads of requests, bodies with a length or in chunks, heads of responses.
%% Pure; whoever owns the socket feeds it. Strict: what two parsers could read in two ways is
%% refused, for that is how a request is smuggled past a proxy.
-module(ml_cluster_http1).

-export([head/3, declared/1, body/1, body/2, body/3, pending/1, is_persistent/1]).
-export([response/3, chunk/1, last_chunk/0]).
-export_type([head/0, declared/0, decoder/0, error/0]).

-type head() :: #{
    method := binary(),
    path := binary(),
    headers := #{binary() => binary()},
    version := {1, 0..9}
}.
-type declared() :: non_neg_integer() | chunked.
%% Where in a body the next byte stands.
-type decoder() ::
    {length, non_neg_integer()}
    | {size, binary()}
    | {chunk, pos_integer()}
    | {chunk_end, binary()}
    | {trailer, binary(), non_neg_integer()}.
-type error() ::
    {malformed, binary()}
    | {head_too_large, binary()}
    | uri_too_long
    | {version, binary()}.

-define(MAX_LINE, 8192).
-define(MAX_HEADERS, 128).
%% The lines of chunks are short; ours is not the place for extensions.
-define(MAX_CHUNK_LINE, 1024).
-define(MAX_DIGITS, 8).
-define(MAX_TRAILERS, 16).

%% Neither a blank nor a control character.
-define(IS_VISIBLE(C), (C > 16#20 andalso C =/= 16#7F)).
-define(IS_IN_NAME(C), (C =/= $: andalso C =/= $\r)).

%% ---- The head ----

%% @doc The head of a request at the beginning of a buffer. `Scanned' is how much of it earlier
%% calls have seen without finding the end: bytes that drip in are not looked at again and again.
-spec head(binary(), non_neg_integer(), pos_integer()) ->
    {ok, head(), Rest :: binary()} | more | {error, error()}.
head(<<"\r\n", Buffer/binary>>, Scanned, Max) ->
    %% Some clients end a body with a line too many; one is forgiven.
    find_end(Buffer, max(0, Scanned - 2), Max);
head(Buffer, Scanned, Max) ->
    find_end(Buffer, Scanned, Max).

find_end(Buffer, Scanned, Max) ->
    From = max(0, Scanned - 3),
    case binary:match(Buffer, <<"\r\n\r\n">>, [{scope, {From, byte_size(Buffer) - From}}]) of
        {At, 4} when At =< Max ->
            <<Head:At/binary, _:4/binary, Rest/binary>> = Buffer,
            parsed(Head, Rest);
        nomatch when byte_size(Buffer) =< Max ->
            more;
        _ ->
            {error, too_long(Buffer)}
    end.

too_long(Buffer) ->
    case binary:match(Buffer, <<"\r\n">>, [{scope, {0, min(byte_size(Buffer), ?MAX_LINE)}}]) of
        nomatch -> uri_too_long;
        _ -> {head_too_large, <<"the headers are too long">>}
    end.

parsed(Head, Rest) ->
    try
        {Method, AfterMethod} = word(Head),
        {Target, AfterTarget} = word(AfterMethod),
        {Version, Lines} = protocol(AfterTarget),
        ok = token(Method),
        ok = no_longer_than(?MAX_LINE, byte_size(Head) - byte_size(Lines)),
        Headers = headers(Lines, ?MAX_HEADERS, #{}),
        ok = one_host(Headers, Version),
        {ok, #{method => Method, path => path(Target), headers => Headers, version => Version}, Rest}
    catch
        throw:Reason -> {error, Reason}
    end.

%% Method or target, and what comes after the blank behind it.
word(Text) ->
    Length = visible_length(Text, 0),
    case Text of
        <<Word:Length/binary, $\s, Rest/binary>> when Length > 0 -> {Word, Rest};
        _ -> throw(wrong_line())
    end.

wrong_line() -> {malformed, <<"the request line: expected METHOD TARGET HTTP/1.1">>}.

%% A head is read four bytes in a step, where they are all of the common kind: it is most of what
%% reading a request takes.
visible_length(<<A, B, C, D, Rest/binary>>, Length) when
    ?IS_VISIBLE(A), ?IS_VISIBLE(B), ?IS_VISIBLE(C), ?IS_VISIBLE(D)
->
    visible_length(Rest, Length + 4);
visible_length(<<C, Rest/binary>>, Length) when ?IS_VISIBLE(C) ->
    visible_length(Rest, Length + 1);
visible_length(_, Length) ->
    Length.

protocol(<<"HTTP/1.", Minor, "\r\n", Lines/binary>>) when Minor >= $0, Minor =< $9 ->
    {{1, Minor - $0}, Lines};
protocol(<<"HTTP/1.", Minor>>) when Minor >= $0, Minor =< $9 ->
    {{1, Minor - $0}, <<>>};
protocol(Text) ->
    Length = visible_length(Text, 0),
    case Text of
        <<"HTTP/", _/binary>> when Length =:= byte_size(Text) -> throw(wrong_version());
        <<"HTTP/", _:(Length - 5)/binary, "\r\n", _/binary>> -> throw(wrong_version());
        _ -> throw(wrong_line())
    end.

wrong_version() -> {version, <<"expected HTTP/1.1">>}.

no_longer_than(Max, Length) when Length =< Max -> ok;
no_longer_than(_, _) -> throw(uri_too_long).

%% Only the path: none of our routes takes a query.
path(<<"/", _/binary>> = Target) ->
    binary:part(Target, 0, path_length(Target, 0));
path(<<"http", _/binary>> = Target) ->
    case re:run(Target, "^https?://[^/?#]*(/[^?#]*)?", [{capture, all_but_first, binary}]) of
        {match, [Path]} -> Path;
        _ -> <<"/">>
    end;
path(Target) ->
    Target.

path_length(<<C, Rest/binary>>, Length) when C =/= $?, C =/= $# -> path_length(Rest, Length + 1);
path_length(_, Length) -> Length.

%% Each byte is looked at once, and names and values are parts of the head, not copies.
headers(<<>>, _, Headers) ->
    Headers;
headers(_, 0, _) ->
    throw({head_too_large, <<"expected at most 128 headers">>});
headers(Lines, Left, Headers) ->
    case name_length(Lines, 0) of
        Length when Length > 0 ->
            <<Name:Length/binary, _, AfterColon/binary>> = Lines,
            {Value, Rest} = value(without_blanks(AfterColon)),
            headers(Rest, Left - 1, add(lower(Name), Value, Headers));
        0 ->
            throw({malformed, <<"a header: expected NAME: VALUE">>})
    end.

%% 0 where there is no name: a line that goes on with the one before it begins with a blank, which is
%% obsolete and refused.
name_length(<<A, B, C, D, Rest/binary>>, Length) when
    ?IS_IN_NAME(A), ?IS_IN_NAME(B), ?IS_IN_NAME(C), ?IS_IN_NAME(D)
->
    name_length(Rest, Length + 4);
name_length(<<C, Rest/binary>>, Length) when ?IS_IN_NAME(C) -> name_length(Rest, Length + 1);
name_length(<<$:, _/binary>>, Length) -> Length;
name_length(_, _) -> 0.

without_blanks(<<C, Rest/binary>>) when C =:= $\s; C =:= $\t -> without_blanks(Rest);
without_blanks(Text) -> Text.

value(Text) ->
    {Length, Line} = value_length(Text, 0, 0),
    case Text of
        <<Value:Length/binary, _:(Line - Length)/binary, "\r\n", Rest/binary>> -> {Value, Rest};
        <<Value:Length/binary, _/binary>> -> {Value, <<>>}
    end.

%% How long the value is, and how long with the blanks behind it.
value_length(<<A, B, C, D, Rest/binary>>, _, Line) when
    ?IS_VISIBLE(A), ?IS_VISIBLE(B), ?IS_VISIBLE(C), ?IS_VISIBLE(D)
->
    value_length(Rest, Line + 4, Line + 4);
value_length(<<C, Rest/binary>>, _, Line) when ?IS_VISIBLE(C) ->
    value_length(Rest, Line + 1, Line + 1);
value_length(<<C, Rest/binary>>, Length, Line) when C =:= $\s; C =:= $\t ->
    value_length(Rest, Length, Line + 1);
value_length(<<"\r\n", _/binary>>, Length, Line) ->
    {Length, Line};
value_length(<<>>, Length, Line) ->
    {Length, Line};
value_length(_, _, _) ->
    throw({malformed, <<"a header: its value has a control character">>}).

%% Of a header that stands twice both values count, or one of two lengths could hide.
add(Name, Value, Headers) ->
    case Headers of
        #{Name := Old} -> Headers#{Name := <<Old/binary, ", ", Value/binary>>};
        _ -> Headers#{Name => Value}
    end.

%% `token' of RFC 9110 in lower case; a blank before the colon is none. The names that nearly every
%% request has need no new binary.
lower(<<"Host">>) -> <<"host">>;
lower(<<"Accept">>) -> <<"accept">>;
lower(<<"Connection">>) -> <<"connection">>;
lower(<<"User-Agent">>) -> <<"user-agent">>;
lower(<<"Content-Type">>) -> <<"content-type">>;
lower(<<"Authorization">>) -> <<"authorization">>;
lower(<<"Content-Length">>) -> <<"content-length">>;
lower(<<"Accept-Encoding">>) -> <<"accept-encoding">>;
lower(Name) -> <<<<(lower_char(C))>> || <<C>> <= Name>>.

lower_char(C) when C >= $a, C =< $z; C =:= $-; C >= $0, C =< $9; C =:= $_ -> C;
lower_char(C) when C >= $A, C =< $Z -> C + 32;
lower_char(C) ->
    case lists:member(C, "!#$%&'*+.^`|~") of
        true -> C;
        false -> throw({malformed, <<"a header: its name has a character that no name has">>})
    end.

token(<<"GET">>) ->
    ok;
token(<<"POST">>) ->
    ok;
token(Method) ->
    _ = lower(Method),
    ok.

one_host(#{<<"host">> := Host}, _) ->
    case binary:match(Host, <<",">>) of
        nomatch -> ok;
        _ -> throw({malformed, <<"expected one Host">>})
    end;
one_host(_, {1, 0}) ->
    ok;
one_host(_, _) ->
    throw({malformed, <<"expected a Host">>}).

%% @doc Does the connection go on after this request?
-spec is_persistent(head()) -> boolean().
is_persistent(#{version := Version, headers := #{<<"connection">> := Connection}}) ->
    Option = ml_cluster_ascii:lowercase(Connection),
    case Version of
        {1, 0} -> Option =:= <<"keep-alive">>;
        _ -> binary:match(Option, <<"close">>) =:= nomatch
    end;
is_persistent(#{version := Version}) ->
    Version =/= {1, 0}.

%% ---- The body ----

%% @doc How long the head says the body is.
-spec declared(head()) -> {ok, declared()} | {error, error()}.
declared(#{headers := #{<<"transfer-encoding">> := _, <<"content-length">> := _}}) ->
    {error, {malformed, <<"both Content-Length and Transfer-Encoding">>}};
declared(#{headers := #{<<"transfer-encoding">> := _}, version := {1, 0}}) ->
    {error, {malformed, <<"Transfer-Encoding in HTTP/1.0">>}};
declared(#{headers := #{<<"transfer-encoding">> := Coding}}) ->
    case ml_cluster_ascii:lowercase(Coding) of
        <<"chunked">> -> {ok, chunked};
        _ -> {error, {malformed, <<"Transfer-Encoding: expected chunked">>}}
    end;
declared(#{headers := #{<<"content-length">> := Length}}) ->
    case byte_size(Length) =< 15 andalso digits(Length) of
        true -> {ok, binary_to_integer(Length)};
        false -> {error, {malformed, <<"Content-Length: expected one number">>}}
    end;
declared(_) ->
    {ok, 0}.

digits(<<C>>) -> C >= $0 andalso C =< $9;
digits(<<C, Rest/binary>>) when C >= $0, C =< $9 -> digits(Rest);
digits(_) -> false.

%% @doc A decoder before the first byte of a body.
-spec body(declared()) -> decoder().
body(chunked) -> {size, <<>>};
body(Length) -> {length, Length}.

%% @doc Bytes that are known to be still to come.
-spec pending(decoder()) -> non_neg_integer().
pending({length, Left}) -> Left;
pending({chunk, Left}) -> Left;
pending(_) -> 0.

%% @doc Decodes what has arrived: its data, and what comes after the end of the body.
-spec body(decoder(), binary()) ->
    {more, Data :: binary(), decoder()}
    | {last, Data :: binary(), Rest :: binary()}
    | {error, error()}.
body(Decoder, Bytes) -> body(Decoder, Bytes, <<>>).

%% @doc The same, with the data that came before it in front: one binary that grows, however small its
%% chunks and however many.
-spec body(decoder(), binary(), binary()) ->
    {more, Data :: binary(), decoder()}
    | {last, Data :: binary(), Rest :: binary()}
    | {error, error()}.
body(Decoder, Bytes, Data) ->
    try
        decode(Decoder, Bytes, Data)
    catch
        throw:Reason -> {error, Reason}
    end.

decode({length, Length}, Bytes, Data) when byte_size(Bytes) >= Length ->
    <<Part:Length/binary, Rest/binary>> = Bytes,
    {last, joined(Data, Part), Rest};
decode({length, Length}, Bytes, Data) ->
    {more, joined(Data, Bytes), {length, Length - byte_size(Bytes)}};
decode({size, Part}, Bytes, Data) ->
    Text = joined(Part, Bytes),
    case chunk_size(Text, 0, 0) of
        {Size, Rest} ->
            ok = no_long_line(byte_size(Text) - byte_size(Rest) - 2),
            decode(chunk_of(Size), Rest, Data);
        more ->
            ok = no_long_line(byte_size(Text)),
            {more, Data, {size, Text}}
    end;
decode({chunk, Left}, Bytes, Data) when byte_size(Bytes) > Left ->
    <<Chunk:Left/binary, Rest/binary>> = Bytes,
    decode({chunk_end, <<>>}, Rest, joined(Data, Chunk));
decode({chunk, Left}, Bytes, Data) when byte_size(Bytes) =:= Left ->
    {more, joined(Data, Bytes), {chunk_end, <<>>}};
decode({chunk, Left}, Bytes, Data) ->
    {more, joined(Data, Bytes), {chunk, Left - byte_size(Bytes)}};
decode({chunk_end, Part}, Bytes, Data) ->
    case joined(Part, Bytes) of
        <<"\r\n", Rest/binary>> -> decode({size, <<>>}, Rest, Data);
        Short when Short =:= <<>>; Short =:= <<"\r">> -> {more, Data, {chunk_end, Short}};
        _ -> throw({malformed, <<"a chunk of the body has no end">>})
    end;
decode({trailer, _, ?MAX_TRAILERS}, _, _) ->
    throw({malformed, <<"too many trailers">>});
decode({trailer, Part, Count}, Bytes, Data) ->
    [Line | Rest] = binary:split(joined(Part, Bytes), <<"\r\n">>),
    ok = no_long_line(byte_size(Line)),
    case Rest of
        [] -> {more, Data, {trailer, Line, Count}};
        [After] when Line =:= <<>> -> {last, Data, After};
        %% Trailers say nothing to us, but they are there to be read.
        [After] -> decode({trailer, <<>>, Count + 1}, After, Data)
    end.

%% Nearly always there is nothing before, and so nothing to copy.
joined(<<>>, Bytes) -> Bytes;
joined(Before, Bytes) -> <<Before/binary, Bytes/binary>>.

no_long_line(Length) when Length =< ?MAX_CHUNK_LINE -> ok;
no_long_line(_) -> throw({malformed, <<"a line of the body is too long">>}).

%% The size that a chunk begins with, and what comes after its line.
chunk_size(<<C, Rest/binary>>, Size, Digits) when C >= $0, C =< $9, Digits < ?MAX_DIGITS ->
    chunk_size(Rest, Size * 16 + C - $0, Digits + 1);
chunk_size(<<C, Rest/binary>>, Size, Digits) when C >= $a, C =< $f, Digits < ?MAX_DIGITS ->
    chunk_size(Rest, Size * 16 + C - $a + 10, Digits + 1);
chunk_size(<<C, Rest/binary>>, Size, Digits) when C >= $A, C =< $F, Digits < ?MAX_DIGITS ->
    chunk_size(Rest, Size * 16 + C - $A + 10, Digits + 1);
chunk_size(<<>>, _, _) ->
    more;
chunk_size(_, _, 0) ->
    throw(no_size());
chunk_size(Text, Size, _) ->
    after_size(Text, Size).

no_size() -> {malformed, <<"a chunk of the body has no size">>}.

after_size(<<"\r\n", Rest/binary>>, Size) -> {Size, Rest};
after_size(<<C, Rest/binary>>, Size) when C =:= $\s; C =:= $\t -> after_size(Rest, Size);
after_size(<<$;, Rest/binary>>, Size) -> extension(Rest, Size);
after_size(Short, _) when Short =:= <<>>; Short =:= <<"\r">> -> more;
after_size(_, _) -> throw(no_size()).

%% It says nothing to us.
extension(<<C, Rest/binary>>, Size) when C =/= $\r, C =/= $\n -> extension(Rest, Size);
extension(<<"\r\n", Rest/binary>>, Size) -> {Size, Rest};
extension(Short, _) when Short =:= <<>>; Short =:= <<"\r">> -> more;
extension(_, _) -> throw(no_size()).

chunk_of(0) -> {trailer, <<>>, 0};
chunk_of(Size) -> {chunk, Size}.

%% ---- Responses ----

%% @doc Status line and headers, with the empty line after them.
-spec response(100..599, [{binary(), iodata()}], iodata()) -> iodata().
response(Status, Headers, Date) ->
    [
        <<"HTTP/1.1 ">>, integer_to_binary(Status), $\s, phrase(Status),
        <<"\r\nserver: ml_cluster\r\ndate: ">>, Date, <<"\r\n">>,
        [[Name, <<": ">>, Value, <<"\r\n">>] || {Name, Value} <- Headers],
        <<"\r\n">>
    ].

-spec chunk(iodata()) -> iodata().
chunk(Data) -> [integer_to_binary(iolist_size(Data), 16), <<"\r\n">>, Data, <<"\r\n">>].

-spec last_chunk() -> binary().
last_chunk() -> <<"0\r\n\r\n">>.

phrase(200) -> <<"OK">>;
phrase(204) -> <<"No Content">>;
phrase(400) -> <<"Bad Request">>;
phrase(401) -> <<"Unauthorized">>;
phrase(404) -> <<"Not Found">>;
phrase(405) -> <<"Method Not Allowed">>;
phrase(408) -> <<"Request Timeout">>;
phrase(413) -> <<"Content Too Large">>;
phrase(414) -> <<"URI Too Long">>;
phrase(415) -> <<"Unsupported Media Type">>;
phrase(422) -> <<"Unprocessable Content">>;
phrase(424) -> <<"Failed Dependency">>;
phrase(429) -> <<"Too Many Requests">>;
phrase(431) -> <<"Request Header Fields Too Large">>;
phrase(500) -> <<"Internal Server Error">>;
phrase(503) -> <<"Service Unavailable">>;
phrase(504) -> <<"Gateway Timeout">>;
phrase(505) -> <<"HTTP Version Not Supported">>;
%% Clients go by the number.
phrase(_) -> <<>>.
