%% @doc What a request is called: the client's `X-Request-Id' where it has a sane one, else one of
%% ours; and W3C's `traceparent'. What the client gave goes to the workers' logs. Pure but for
%% chance.
-module(ml_cluster_http_trace).

-export([of_request/1]).

%% Odd, so that no two numbers below 2^59 meet.
-define(SPREAD, 16#5DEECE66D).

%% @doc `id' for the response; `trace' for the worker's log, where the client said anything.
-spec of_request(#{binary() => binary()}) -> #{id := binary(), trace => binary()}.
of_request(Headers) ->
    Parent = sane(traceparent, maps:get(<<"traceparent">>, Headers, <<>>)),
    case {sane(id, maps:get(<<"x-request-id">>, Headers, <<>>)), Parent} of
        {none, none} -> #{id => new()};
        {none, _} -> #{id => new(), trace => Parent};
        {Id, none} -> #{id => Id, trace => Id};
        {Id, _} -> #{id => Id, trace => <<Id/binary, " ", Parent/binary>>}
    end.

%% 15 hexadecimal digits. A generator of random numbers would be seeded in each connection's process
%% and written back with each request; this is a number of the node's that is never given twice, spread
%% from where chance began.
new() ->
    Number = (seed() + erlang:unique_integer([positive]) * ?SPREAD) band (1 bsl 59 - 1),
    integer_to_binary(1 bsl 56 + Number, 16).

seed() ->
    case persistent_term:get(?MODULE, none) of
        none ->
            Seed = rand:uniform(1 bsl 58),
            ok = persistent_term:put(?MODULE, Seed),
            Seed;
        Seed ->
            Seed
    end.

sane(_, <<>>) ->
    none;
sane(Kind, Value) ->
    case re:run(Value, pattern(Kind), [{capture, none}]) of
        match -> Value;
        nomatch -> none
    end.

%% Ids come back in a header and stand in logs: nothing that could break either.
pattern(id) -> "^[A-Za-z0-9._~:/+=@-]{1,128}\\z";
%% Version ff is not valid; one after 00 may have more fields, which we pass on unread.
pattern(traceparent) -> "^(?!ff)[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-[0-9a-z-]{0,64})?\\z".
