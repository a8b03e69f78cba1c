%% @doc Serves {@link ml_cluster_http} as a handler in somebody else's Cowboy listener, Hornbeam's
%% first of all ({@link ml_cluster_hornbeam}): the only module that knows Cowboy (2.12 and later).
%%
%% Cowboy runs each request in a process of its own and ends that when the client hangs up, and
%% with it the call below. Its deadlines are not ours: `idle_timeout' starts again with each byte
%% that drips in, and Hornbeam sets it to 2 s, which would cut every answer that takes longer. So
%% it is switched off for our requests, and bodies and writes have deadlines here.
-module(ml_cluster_cowboy).
-behaviour(ml_cluster_http_adapter).

-export([init/2]).
-export([more/1, event/2, start/3, write/2, finish/1]).

-type req() :: map().
%% `prefix': where the routes are mounted, <<>> or such as <<"/ml">>.
-type opts() :: #{prefix => binary()}.

%% A request whose body is a stream. `ref' names the part of the body that was asked for.
-record(stream, {
    req :: req(),
    timeout :: pos_integer(),
    ref = none :: none | reference(),
    continue :: boolean()
}).

%% @doc Answers one request; called by Cowboy. What crashes in it is told here: Cowboy would log the
%% request and the mailbox. It answers 500, where nothing was answered.
-spec init(req(), opts()) -> {ok, req(), opts()}.
init(Req, Opts) ->
    try
        served(Req, Opts)
    catch
        exit:{shutdown, cut} ->
            exit({shutdown, cut});
        Class:Reason:Stack ->
            ok = ml_cluster_log:bug(connection_failed, Class, Reason, Stack),
            exit({shutdown, failed})
    end.

served(Req, Opts) ->
    Started = erlang:monotonic_time(microsecond),
    ok = cast({set_options, #{idle_timeout => infinity}}, Req),
    Path = path(Req, Opts),
    Head = #{
        method => req(method, [Req]),
        path => Path,
        headers => req(headers, [Req])
    },
    {Status, Answered} = answer(Head, Req),
    ok = ml_cluster_http:observe(Path, Status, erlang:monotonic_time(microsecond) - Started),
    {ok, Answered, Opts}.

%% Neither Cowboy nor Hornbeam is on every node; an indirect call keeps xref and Dialyzer quiet
%% about that.
req(Function, Args) -> apply(cowboy_req, Function, Args).

cast(Message, Req) -> req(cast, [Message, Req]).

path(Req, Opts) ->
    Prefix = maps:get(prefix, Opts, <<>>),
    Size = byte_size(Prefix),
    case req(path, [Req]) of
        <<Prefix:Size/binary, Path/binary>> -> Path;
        Other -> Other
    end.

%% Links in the page are relative to a folder, which the prefix without a slash is not.
answer(#{path := <<>>}, Req) ->
    Location = <<(req(path, [Req]))/binary, "/">>,
    {308, req(reply, [308, #{<<"location">> => Location}, Req])};
answer(#{headers := #{<<"content-length">> := _, <<"transfer-encoding">> := _}} = Head, Req) ->
    refuse({malformed, <<"both Content-Length and Transfer-Encoding">>}, Head, Req);
answer(Head, Req) ->
    admitted(ml_cluster_http:admit(Head), Head, Req).

admitted({respond, Response}, _, Req) ->
    reply(Response, unread(Req), Req);
admitted({read, Bounds, Handle}, Head, Req) ->
    case body(Bounds, Req) of
        {ok, Body} -> reply(Handle(Body, none), [], Req);
        {error, Reason} -> refuse(Reason, Head, Req)
    end;
admitted({stream, _}, Head, #{version := 'HTTP/1.0'} = Req) ->
    refuse({version, <<"a stream needs HTTP/1.1">>}, Head, Req);
admitted({stream, Run}, _, Req) ->
    streamed(Run({?MODULE, new_stream(Req)}), Req).

refuse(Reason, Head, Req) -> reply(ml_cluster_http:refuse(Reason, Head), unread(Req), Req).

%% What comes after a body that was not read is not a request.
unread(#{has_body := true}) -> [{<<"connection">>, <<"close">>}];
unread(_) -> [].

reply(#{status := Status, headers := Headers, body := Body}, More, Req) ->
    {Status, req(reply, [Status, fields(More ++ Headers), Body, Req])}.

fields(Headers) -> maps:from_list([{Name, iolist_to_binary(V)} || {Name, V} <- Headers]).

%% ---- The body ----

body(_, #{has_body := false}) ->
    {ok, <<>>};
body(#{limit := Limit, timeout := Timeout}, Req) ->
    case req(body_length, [Req]) of
        Length when is_integer(Length), Length > Limit ->
            {error, {too_large, <<"body">>, Length, Limit}};
        _ ->
            Stream = new_stream(Req),
            ok = continued(Stream),
            pieces(Stream, Limit, Limit, now_ms() + Timeout, <<>>)
    end.

pieces(_, Left, Limit, _, _) when Left < 0 ->
    {error, {too_large, <<"body">>, {at_least, Limit + 1}, Limit}};
pieces(Stream, Left, Limit, Deadline, Read) ->
    Asked = more(Stream),
    receive
        Message when element(1, Message) =:= request_body ->
            case event(Message, Asked) of
                {last, Data, _} when byte_size(Data) =< Left ->
                    {ok, <<Read/binary, Data/binary>>};
                {_, Data, Next} ->
                    pieces(Next, Left - byte_size(Data), Limit, Deadline, <<Read/binary, Data/binary>>)
            end
    after max(0, Deadline - now_ms()) ->
        {error, slow_body}
    end.

%% ---- Streams ----

new_stream(Req) ->
    #{write_timeout_ms := Timeout} = ml_cluster_config:get(limits),
    Expect = ml_cluster_ascii:lowercase(req(header, [<<"expect">>, Req, <<>>])),
    #stream{req = Req, timeout = Timeout, continue = Expect =:= <<"100-continue">>}.

streamed({respond, Response}, Req) -> reply(Response, unread(Req), Req);
streamed(finished, Req) -> {200, Req};
streamed(cut, Req) -> cut(Req).

%% Cowboy ends a chunked body properly whatever its handler dies of, and the client would take half
%% an answer for a whole one: only the end of the connection tells it. HTTP/2 has a frame for that,
%% which Cowboy sends for a handler that ends so.
-spec cut(req()) -> {500, req()}.
cut(#{version := 'HTTP/2'}) ->
    exit({shutdown, cut});
cut(#{pid := Connection} = Req) ->
    %% Without this a socket would wait, after its owner, for a client that does not read.
    {links, Linked} = process_info(Connection, links),
    _ = [inet:setopts(Socket, [{linger, {true, 0}}]) || Socket <- Linked, is_port(Socket)],
    %% With it goes this process.
    true = exit(Connection, kill),
    {500, Req}.

%% @private
-spec more(#stream{}) -> #stream{}.
more(#stream{req = #{has_body := false}} = Stream) ->
    Ref = make_ref(),
    self() ! {request_body, Ref, fin, 0, <<>>},
    Stream#stream{ref = Ref};
more(#stream{req = Req} = Stream) ->
    Ref = make_ref(),
    %% Whatever is there, as soon as something is.
    ok = cast({read_body, self(), Ref, auto, infinity}, Req),
    Stream#stream{ref = Ref}.

%% @private
-spec event(term(), #stream{}) -> {data | last, binary(), #stream{}} | other.
event({request_body, Ref, nofin, Data}, #stream{ref = Ref} = Stream) ->
    {data, Data, Stream#stream{ref = none}};
event({request_body, Ref, fin, _, Data}, #stream{ref = Ref} = Stream) ->
    {last, Data, Stream#stream{ref = none}};
event(_, _) ->
    other.

%% @private
-spec start(100..599, [{binary(), iodata()}], #stream{}) -> {ok, #stream{}}.
start(Status, Headers, #stream{req = Req} = Stream) ->
    ok = continued(Stream),
    {ok, Stream#stream{req = req(stream_reply, [Status, fields(Headers), Req])}}.

%% Cowboy does this by itself for a body that is not read as it comes.
continued(#stream{req = Req, continue = true}) -> req(inform, [100, Req]);
continued(#stream{continue = false}) -> ok.

%% @private
%% What `cowboy_req:stream_body/3' does, with a deadline. Cowboy's connection asks for the next part
%% when the one before it is in the socket's buffer.
-spec write(iodata(), #stream{}) -> {ok, #stream{}} | {error, timeout}.
write(Data, Stream) -> sent(nofin, Data, Stream).

%% @private
-spec finish(#stream{}) -> ok | {error, closed}.
finish(Stream) ->
    case sent(fin, <<>>, Stream) of
        {ok, _} -> ok;
        {error, timeout} -> {error, closed}
    end.

sent(IsFin, Data, #stream{req = #{pid := Connection} = Req, timeout = Timeout} = Stream) ->
    ok = cast({data, self(), IsFin, Data}, Req),
    receive
        {data_ack, Connection} -> {ok, Stream}
    after Timeout -> {error, timeout}
    end.

now_ms() -> erlang:monotonic_time(millisecond).
