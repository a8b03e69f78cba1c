%% @doc API keys: who may ask over HTTP. Keys are kept as digests and compared in constant time, so
%% that neither a dump nor the time of an answer tells one.
-module(ml_cluster_auth).

-export([read/1, allows/2]).
-export_type([keys/0]).

%% `any': no file was configured.
-type keys() :: any | [binary()].

%% @doc Reads a file of keys, one a line; blank lines and lines that begin with # are skipped.
-spec read(undefined | file:name_all()) -> {ok, keys()} | {error, binary()}.
read(undefined) ->
    {ok, any};
read(File) ->
    case file:read_file(File) of
        {ok, Text} -> keys([string:trim(Line) || Line <- binary:split(Text, <<"\n">>, [global])]);
        {error, Posix} -> {error, iolist_to_binary(["a readable file: ", file:format_error(Posix)])}
    end.

keys(Lines) ->
    case [digest(Key) || Key <- Lines, Key =/= <<>>, binary:first(Key) =/= $#] of
        [] -> {error, <<"a file with at least one key">>};
        Keys -> {ok, Keys}
    end.

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
