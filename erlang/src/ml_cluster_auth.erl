%% @doc API keys: who may ask over HTTP. Keys are kept as digests and compared in constant time, so
%% that neither a dump nor the time of an answer tells one.
-module(ml_cluster_auth).

-export([read/1, allows/2]).
-export_type([keys/0]).

%% `any': no file was configured.
-type keys() :: any | [binary()].

%% @doc Reads a file of keys, one a line; blank lines and lines that begin with # are skipped. What no
%% client could send in a header is no key: a file in UTF-16, a key with an umlaut. Of an error's
%% reason no byte comes from the file.
-spec read(undefined | file:name_all()) -> {ok, keys()} | {error, binary()}.
read(undefined) ->
    {ok, any};
read(File) ->
    case file:read_file(File) of
        {ok, Text} -> keys([ml_cluster_ascii:trim(Line) || Line <- lines(Text)]);
        {error, Posix} -> {error, iolist_to_binary(["a readable file: ", file:format_error(Posix)])}
    end.

%% Some editors put a mark before UTF-8.
lines(<<16#feff/utf8, Text/binary>>) -> lines(Text);
lines(Text) -> binary:split(Text, <<"\n">>, [global]).

keys(Lines) ->
    Keys = [Line || Line <- Lines, Line =/= <<>>, binary:first(Line) =/= $#],
    case {Keys, lists:all(fun is_printable/1, Keys)} of
        {[], _} -> {error, <<"a file with at least one key">>};
        {_, false} -> {error, <<"keys in printable ASCII, one a line">>};
        {_, true} -> {ok, [digest(Key) || Key <- Keys]}
    end.

is_printable(Key) -> re:run(Key, "^[ -~]+\\z", [{capture, none}]) =:= match.

%% @doc Does an Authorization header bring one of the keys?
-spec allows(keys(), binary() | undefined) -> boolean().
allows(any, _) ->
    true;
allows(Keys, <<Scheme:6/binary, " ", Key/binary>>) ->
    lists:member(Scheme, [<<"Bearer">>, <<"bearer">>, <<"BEARER">>]) andalso
        is_known(digest(Key), Keys);
allows(_, _) ->
    false.

%% All keys are compared, whichever it is.
is_known(Digest, Keys) ->
    lists:member(true, [crypto:hash_equals(Key, Digest) || Key <- Keys]).

digest(Key) -> crypto:hash(sha256, Key).
