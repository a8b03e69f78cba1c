%% @doc Serves {@link ml_cluster_http} with mochiweb's acceptors: the only module that knows
%% mochiweb.
%%
%% mochiweb accepts and counts connections; what is on them is read here. Its own reader has no
%% deadline for a head as a whole, leaves a line that it can't read unanswered, and takes a length
%% beside a transfer coding.
%%
%% Each connection is a process, which handles all but large requests itself and those in a process of
%% their own. Either way the socket is watched meanwhile: a client that hangs up cancels its work.
-module(ml_cluster_mochiweb).
-behaviour(ml_cluster_http_adapter).

-export([usable/0, child_spec/2, start_link/1, drain/0, connections/0, connection/2, port/0]).
-export([more/1, event/2, start/3, write/2, finish/1]).

%% Bytes that one message from the socket brings at most: nearly every request comes in one. More while
%% a large body comes in.
-define(READ, 16384).
-define(READ_LARGE, 65536).
%% How many reads a socket sends as messages before it waits to be asked again. To ask for each one
%% costs three system calls; this much a client may send ahead of its answers.
-define(AHEAD, 64).
%% A request with a body of no more bytes is handled in the connection's own process.
-define(HERE, 32768).
%% Room for a request and its response without a collection: so many words, and for each byte of the body
%% one more. A connection gives it back when it has been idle for so long.
-define(HANDLER_WORDS, 2000).
-define(IDLE_WORDS, 233).
-define(TIDY_MS, 1000).
%% A request that has no more than so many times the time in which a silent worker is suspected.
-define(SHORT, 2).
%% How long what a client still sends is read after the answer that ends the connection: closing at
%% once would take the answer back from it.
-define(LINGER_MS, 10000).
-define(LINGER_BYTES, 268435456).
%% What the lines of a body's chunks may take besides as much as its data may.
-define(CHUNK_LINES, 65536).
%% How often it is told that all connections are taken.
-define(SILENCE_MS, 60000).
%% A connection that is newer than that is not idle: its first request is on its way, and gets an answer
%% from a front that stops, too.
-define(NEW_MS, 1000).

%% `armed': the socket will send its next bytes, or its end, as a message; or that it has sent so many
%% that it waits.
-record(conn, {
    socket :: gen_tcp:socket(),
    limits :: map(),
    buffer = <<>> :: binary(),
    armed = false :: boolean(),
    %% Between two requests.
    idle = false :: boolean(),
    %% Until when no bytes are no idleness.
    new_until :: integer()
}).

%% The process that handles a request apart.
-record(handler, {pid :: pid(), ref :: reference(), deadline :: integer()}).

%% A request whose body is a stream.
-record(stream, {
    conn :: #conn{},
    decoder :: ml_cluster_http1:decoder(),
    continue :: boolean()
}).

%% @doc Is mochiweb on this node?
-spec usable() -> ok | {error, binary()}.
usable() ->
    case code:ensure_loaded(mochiweb_socket_server) of
        {module, _} ->
            ok;
        {error, _} ->
            {error, <<"mochiweb, which is not installed (Debian: erlang-mochiweb), or false">>}
    end.

%% @doc The listener, as a child of our supervisor.
-spec child_spec(map(), map()) -> supervisor:child_spec().
child_spec(#{ip := Ip, port := Port}, #{connections := Max}) ->
    Options = [
        {name, ?MODULE},
        {ip, Ip},
        {port, Port},
        {loop, {?MODULE, connection}},
        {max, Max},
        {profile_fun, fun(Opened) -> limited(proplists:get_value(active_sockets, Opened), Max) end},
        {recbuf, undefined},
        {backlog, 1024},
        %% Without it a keep-alive reply takes 40 ms more.
        {nodelay, true}
    ],
    #{id => ?MODULE, start => {?MODULE, start_link, [Options]}}.

%% At its limit mochiweb takes no further connection until one ends, and says nothing.
limited(Open, Max) when Open < Max ->
    ok;
limited(_, Max) ->
    case ml_cluster_metrics:is_due(connections_taken, ?SILENCE_MS) of
        true -> ml_cluster_log:write(warning, connections_taken, #{limit => Max});
        false -> ok
    end.

%% @private
-spec start_link([tuple()]) -> {ok, pid()} | {error, term()}.
start_link(Options) ->
    %% Makes the text of the date once a second.
    _ = mochiweb_clock:start(),
    mochiweb_socket_server:start_link(Options).

%% @doc The port that is listened on.
-spec port() -> inet:port_number().
port() -> mochiweb_socket_server:get(?MODULE, port).

%% @doc Closes the connections that are idle, and says how many are open.
-spec drain() -> non_neg_integer().
drain() ->
    {links, Linked} = process_info(whereis(?MODULE), links),
    Supervisor = whereis(ml_cluster_sup),
    _ = [Connection ! {?MODULE, drain} || Connection <- Linked, is_pid(Connection), Connection =/= Supervisor],
    connections().

%% @doc How many connections are open.
-spec connections() -> non_neg_integer().
connections() -> mochiweb_socket_server:get(?MODULE, active_sockets).

%% @doc Serves one connection; called by mochiweb. What crashes in it is told here: a report of
%% proc_lib's shows the mailbox, and there the next requests are.
-spec connection(gen_tcp:socket(), list()) -> no_return().
connection(Socket, _) ->
    try
        served(Socket)
    catch
        exit:normal ->
            exit(normal);
        Class:Reason:Stack ->
            ok = ml_cluster_log:bug(connection_failed, Class, Reason, Stack),
            closed(Socket)
    end.

served(Socket) ->
    #{write_timeout_ms := Timeout} = Limits = ml_cluster_config:get(limits),
    Options = [{buffer, ?READ}, {send_timeout, Timeout}, {send_timeout_close, true}],
    _ = inet:setopts(Socket, Options),
    requests(#conn{socket = Socket, limits = Limits, new_until = now_ms() + ?NEW_MS}).

requests(#conn{limits = #{idle_timeout_ms := Idle, head_timeout_ms := Timeout}} = Conn) ->
    case Conn of
        #conn{buffer = <<>>} ->
            Started = received(first_bytes(Conn#conn{idle = true}, Idle)),
            head(Started#conn{idle = false}, 0, now_ms() + Timeout);
        _ ->
            head(Conn, 0, now_ms() + Timeout)
    end.

received({ok, Conn}) -> Conn;
received({error, _, Conn}) -> close(Conn).

first_bytes(Conn, Idle) ->
    case bytes(Conn, now_ms() + min(Idle, ?TIDY_MS)) of
        {error, timeout, Waiting} when Idle > ?TIDY_MS ->
            _ = process_flag(min_heap_size, ?IDLE_WORDS),
            true = erlang:garbage_collect(),
            bytes(Waiting, now_ms() + Idle - ?TIDY_MS);
        Result ->
            Result
    end.

%% More of what the client sends, added to the buffer.
bytes(#conn{socket = Socket, armed = false} = Conn, Deadline) ->
    case inet:setopts(Socket, [{active, ?AHEAD}]) of
        ok -> bytes(Conn#conn{armed = true}, Deadline);
        {error, _} -> {error, closed, Conn}
    end;
bytes(#conn{socket = Socket, buffer = Buffer, idle = Idle} = Conn, Deadline) ->
    receive
        {?MODULE, drain} when Idle ->
            case now_ms() < Conn#conn.new_until of
                true -> bytes(Conn, Deadline);
                false -> {error, closed, Conn}
            end;
        {tcp, Socket, Bytes} ->
            {ok, Conn#conn{buffer = <<Buffer/binary, Bytes/binary>>}};
        {tcp_passive, Socket} ->
            bytes(Conn#conn{armed = false}, Deadline);
        {tcp_closed, Socket} ->
            {error, closed, Conn};
        {tcp_error, Socket, _} ->
            {error, closed, Conn}
    after max(0, Deadline - now_ms()) ->
        {error, timeout, Conn}
    end.

%% ---- One request ----

%% One deadline for the whole head, however slowly it drips.
head(#conn{buffer = Buffer, limits = #{head_bytes := Max}} = Conn, Scanned, Deadline) ->
    case ml_cluster_http1:head(Buffer, Scanned, Max) of
        {ok, Head, Rest} -> request(Head, Conn#conn{buffer = Rest});
        {error, Reason} -> refuse(Reason, nothing(), Conn);
        more -> more_head(bytes(Conn, Deadline), byte_size(Buffer), Deadline)
    end.

more_head({ok, Conn}, Scanned, Deadline) -> head(Conn, Scanned, Deadline);
more_head({error, timeout, Conn}, _, _) -> refuse(slow_head, nothing(), Conn);
more_head({error, closed, Conn}, _, _) -> close(Conn).

%% What is known of a request that could not be read.
nothing() -> #{method => <<"GET">>, path => <<>>, headers => #{}, version => {1, 1}}.

request(Head, Conn) ->
    Started = erlang:monotonic_time(microsecond),
    case ml_cluster_http1:declared(Head) of
        {ok, Declared} -> admitted(ml_cluster_http:admit(Head), Declared, Started, Head, Conn);
        {error, Reason} -> refuse(Reason, Head, Conn)
    end.

admitted({respond, Response}, 0, Started, Head, Conn) ->
    respond(Response, Started, Head, Conn);
admitted({respond, Response}, _, Started, Head, Conn) ->
    last(Response, Started, Head, Conn);
admitted({read, Bounds, Handle}, Declared, Started, Head, Conn) ->
    case body(Bounds, Declared, Head, Conn) of
        {ok, Body, Read} -> handled(Handle, Body, Bounds, Started, Head, Read);
        {error, closed, Read} -> close(Read);
        {error, Reason, Read} -> refuse(Reason, Head, Read)
    end;
admitted({stream, Run}, Declared, Started, Head, Conn) ->
    stream(Run, Declared, Started, Head, Conn).

%% The body, or what follows it, was not read as it was said to be: nothing can come after.
refuse(Reason, Head, Conn) ->
    last(ml_cluster_http:refuse(Reason, Head), erlang:monotonic_time(microsecond), Head, Conn).

last(#{headers := Headers} = Response, Started, Head, Conn) ->
    Closing = Response#{headers := [{<<"connection">>, <<"close">>} | Headers]},
    _ = send_response(Closing, Head, Conn),
    ok = observe(Head, Closing, Started),
    linger(Conn).

respond(Response, Started, Head, Conn) ->
    case ml_cluster_http1:is_persistent(Head) andalso not ml_cluster_drain:is_draining() of
        true ->
            Sent = send_response(Response, Head, Conn),
            ok = observe(Head, Response, Started),
            next(Sent, Conn);
        false ->
            last(Response, Started, Head, Conn)
    end.

next(ok, Conn) -> requests(Conn);
next({error, _}, Conn) -> close(Conn).

observe(#{path := Path}, #{status := Status}, Started) ->
    ml_cluster_http:observe(Path, Status, erlang:monotonic_time(microsecond) - Started).

send_response(#{status := Status, headers := Headers, body := Body}, Head, Conn) ->
    Fields = sized(Status, Body, kept(Head, Headers)),
    send([head_of(Status, Fields), body_for(Head, Body)], Conn).

%% RFC 9110, 8.6: a response without content has no length either.
sized(204, _, Headers) -> Headers;
sized(_, Body, Headers) -> [{<<"content-length">>, integer_to_binary(iolist_size(Body))} | Headers].

%% A client of HTTP/1.0 must be told that the connection stays open.
kept(#{version := {1, 0}}, Headers) ->
    case lists:keymember(<<"connection">>, 1, Headers) of
        true -> Headers;
        false -> [{<<"connection">>, <<"keep-alive">>} | Headers]
    end;
kept(_, Headers) ->
    Headers.

body_for(#{method := <<"HEAD">>}, _) -> [];
body_for(_, Body) -> Body.

head_of(Status, Headers) ->
    ml_cluster_http1:response(Status, Headers, mochiweb_clock:rfc1123()).

send(Data, #conn{socket = Socket}) -> gen_tcp:send(Socket, Data).

-spec close(#conn{}) -> no_return().
close(#conn{socket = Socket}) -> closed(Socket).

-spec closed(gen_tcp:socket()) -> no_return().
closed(Socket) ->
    _ = gen_tcp:close(Socket),
    exit(normal).

linger(#conn{socket = Socket} = Conn) ->
    _ = gen_tcp:shutdown(Socket, write),
    linger(Conn#conn{buffer = <<>>}, ?LINGER_BYTES, now_ms() + ?LINGER_MS).

linger(Conn, Left, Deadline) ->
    case bytes(Conn, Deadline) of
        {ok, #conn{buffer = Bytes} = Read} when byte_size(Bytes) =< Left ->
            linger(Read#conn{buffer = <<>>}, Left - byte_size(Bytes), Deadline);
        _ ->
            close(Conn)
    end.

%% ---- The body ----

body(_, 0, _, Conn) ->
    {ok, <<>>, Conn};
body(#{limit := Limit}, Length, _, Conn) when is_integer(Length), Length > Limit ->
    {error, {too_large, <<"body">>, Length, Limit}, Conn};
body(#{limit := Limit, timeout := Timeout}, Declared, Head, #conn{buffer = Buffer} = Conn) ->
    ok = continue(is_continued(Head) andalso Buffer =:= <<>>, Conn),
    Bounds = #{limit => Limit, deadline => now_ms() + Timeout},
    Read = fun() -> pieces(ml_cluster_http1:body(Declared), wire(Limit), Bounds, <<>>, Conn) end,
    case is_large(Declared, Buffer) of
        true -> with_large_reads(Read, Conn);
        false -> Read()
    end.

is_large(chunked, _) -> true;
is_large(Length, Buffer) -> Length - byte_size(Buffer) > ?READ.

with_large_reads(Read, #conn{socket = Socket}) ->
    _ = inet:setopts(Socket, [{buffer, ?READ_LARGE}]),
    Result = Read(),
    _ = inet:setopts(Socket, [{buffer, ?READ}]),
    Result.

is_continued(#{headers := #{<<"expect">> := Expected}}) ->
    ml_cluster_ascii:lowercase(Expected) =:= <<"100-continue">>;
is_continued(_) ->
    false.

continue(false, _) ->
    ok;
continue(true, Conn) ->
    _ = send(<<"HTTP/1.1 100 Continue\r\n\r\n">>, Conn),
    ok.

%% `Wire': how many bytes may come in all, the lines of chunks included.
pieces(Decoder, Wire, Bounds, Read, #conn{buffer = Buffer} = Conn) ->
    case ml_cluster_http1:body(Decoder, Buffer, Read) of
        {last, Body, Rest} ->
            Left = Wire - byte_size(Buffer) + byte_size(Rest),
            case excess(byte_size(Body), Left, Bounds) of
                none -> {ok, Body, Conn#conn{buffer = Rest}};
                Reason -> {error, Reason, Conn}
            end;
        {more, Data, Next} ->
            Left = Wire - byte_size(Buffer),
            case excess(byte_size(Data) + ml_cluster_http1:pending(Next), Left, Bounds) of
                none -> more_pieces(Next, Left, Bounds, Data, Conn#conn{buffer = <<>>});
                Reason -> {error, Reason, Conn}
            end;
        {error, Reason} ->
            {error, Reason, Conn}
    end.

more_pieces(Decoder, Wire, #{deadline := Deadline} = Bounds, Read, Conn) ->
    case bytes(Conn, Deadline) of
        {ok, Conn1} -> pieces(Decoder, Wire, Bounds, Read, Conn1);
        {error, timeout, Conn1} -> {error, slow_body, Conn1};
        {error, closed, _} = Error -> Error
    end.

excess(Length, _, #{limit := Limit}) when Length > Limit ->
    {too_large, <<"body">>, Length, Limit};
excess(_, Wire, #{limit := Limit}) when Wire < 0 ->
    Most = wire(Limit),
    {too_large, <<"body with its chunks">>, Most - Wire, Most};
excess(_, _, _) ->
    none.

%% A line for each byte or two is no body that anybody needs.
wire(Limit) -> 2 * Limit + ?CHUNK_LINES.

%% ---- Handling, while the client is watched ----

%% Most requests are handled here, with the client's messages in the same mailbox. One that takes
%% memory gets a process that gives it back; so does one with so short a time that to be held up, until
%% a worker that reads nothing is suspected, would be too long.
handled(Handle, Body, #{answer := Patience} = Bounds, Started, Head, Conn) ->
    case byte_size(Body) =< ?HERE andalso Patience > ?SHORT * ml_cluster_config:get(suspect_after_ms) of
        true -> here(Handle, Body, Started, Head, arm(Conn));
        false -> apart(Handle, Body, Bounds, Started, Head, arm(Conn))
    end.

here(Handle, Body, Started, Head, #conn{socket = Socket} = Conn) ->
    _ = process_flag(min_heap_size, ?HANDLER_WORDS + byte_size(Body)),
    Response = Handle(Body, fun(Message) -> is_hang_up(Message, Socket) end),
    receive
        {tcp_closed, Socket} -> close(Conn);
        {tcp_error, Socket, _} -> close(Conn)
    after 0 ->
        respond(Response, Started, Head, Conn)
    end.

is_hang_up({tcp_closed, Socket}, Socket) -> true;
is_hang_up({tcp_error, Socket, _}, Socket) -> true;
is_hang_up(_, _) -> false.

apart(Handle, Body, #{answer := Patience}, Started, Head, Conn) ->
    Watch = fun ml_cluster_watch:is_cancel/1,
    {Pid, Ref} = spawn_opt(
        fun() -> exit({response, Handle(Body, Watch)}) end,
        [monitor, {min_heap_size, ?HANDLER_WORDS}]
    ),
    await(#handler{pid = Pid, ref = Ref, deadline = now_ms() + Patience}, Started, Head, Conn).

%% The client's end is to be noticed while its request is handled.
arm(#conn{armed = true, socket = Socket} = Conn) ->
    receive
        {tcp_passive, Socket} -> arm(Conn#conn{armed = false})
    after 0 -> Conn
    end;
arm(Conn) ->
    armed(?AHEAD, Conn).

%% Only so far: a client that sends on and on before it has its answer fills its own buffers.
armed(Reads, #conn{armed = false, buffer = <<>>, socket = Socket} = Conn) ->
    case inet:setopts(Socket, [{active, Reads}]) of
        ok ->
            Conn#conn{armed = true};
        {error, _} ->
            self() ! {tcp_closed, Socket},
            Conn
    end;
armed(_, Conn) ->
    Conn.

await(Handler, Started, Head, #conn{socket = Socket, buffer = Buffer} = Conn) ->
    #handler{pid = Pid, ref = Ref, deadline = Deadline} = Handler,
    receive
        {'DOWN', Ref, process, Pid, {response, Response}} ->
            respond(Response, Started, Head, Conn);
        {'DOWN', Ref, process, Pid, _} ->
            respond(ml_cluster_http:refuse(internal, Head), Started, Head, Conn);
        {tcp, Socket, Early} ->
            %% The next request, sent before this one's answer.
            Kept = Conn#conn{buffer = <<Buffer/binary, Early/binary>>},
            await(Handler, Started, Head, Kept);
        {tcp_passive, Socket} ->
            await(Handler, Started, Head, arm(Conn#conn{armed = false}));
        {tcp_closed, Socket} ->
            give_up(Handler, Conn);
        {tcp_error, Socket, _} ->
            give_up(Handler, Conn)
    after max(0, Deadline - now_ms()) ->
        %% It is held up by a node that takes nothing.
        ok = ml_cluster_watch:cancel(Pid, Ref),
        respond(ml_cluster_http:refuse(deadline_exceeded, Head), Started, Head, Conn)
    end.

%% The call in it ends there and in the worker.
-spec give_up(#handler{}, #conn{}) -> no_return().
give_up(#handler{pid = Pid, ref = Ref}, Conn) ->
    ok = ml_cluster_watch:cancel(Pid, Ref),
    close(Conn).

%% ---- Streams ----

stream(_, _, Started, #{version := {1, 0}} = Head, Conn) ->
    last(ml_cluster_http:refuse({version, <<"a stream needs HTTP/1.1">>}, Head), Started, Head, Conn);
stream(Run, Declared, Started, Head, Conn) ->
    Stream = #stream{
        conn = at_our_pace(Conn),
        decoder = ml_cluster_http1:body(Declared),
        continue = is_continued(Head)
    },
    case Run({?MODULE, Stream}) of
        {respond, Response} -> last(Response, Started, Head, Conn);
        finished -> ended(200, Started, Head, Conn);
        cut -> ended(500, Started, Head, Conn)
    end.

-spec ended(100..599, integer(), ml_cluster_http1:head(), #conn{}) -> no_return().
ended(Status, Started, Head, Conn) ->
    ok = observe(Head, #{status => Status}, Started),
    close(Conn).

%% How fast a stream is read is not its client's to say: each read is asked for.
at_our_pace(#conn{armed = false} = Conn) ->
    Conn;
at_our_pace(#conn{socket = Socket} = Conn) ->
    _ = inet:setopts(Socket, [{active, false}]),
    sent_ahead(Conn#conn{armed = false}).

sent_ahead(#conn{socket = Socket, buffer = Buffer} = Conn) ->
    receive
        {tcp, Socket, Bytes} -> sent_ahead(Conn#conn{buffer = <<Buffer/binary, Bytes/binary>>});
        {tcp_passive, Socket} -> sent_ahead(Conn)
    after 0 -> Conn
    end.

%% @private
-spec more(#stream{}) -> #stream{}.
more(#stream{conn = #conn{socket = Socket, buffer = Buffer} = Conn} = Stream) ->
    case Buffer =:= <<>> andalso Stream#stream.decoder =/= {length, 0} of
        true ->
            Stream#stream{conn = armed(once, Conn)};
        false ->
            %% What is to be told is here already.
            self() ! {tcp, Socket, <<>>},
            Stream
    end.

%% @private
-spec event(term(), #stream{}) ->
    {data | last, binary(), #stream{}} | {error, closed | term()} | other.
event({tcp, Socket, Bytes}, #stream{conn = #conn{socket = Socket} = Conn} = Stream) ->
    #conn{buffer = Buffer} = Conn,
    decoded(
        ml_cluster_http1:body(Stream#stream.decoder, <<Buffer/binary, Bytes/binary>>),
        Conn#conn{buffer = <<>>, armed = Bytes =:= <<>> andalso Conn#conn.armed},
        Stream
    );
event({tcp_closed, Socket}, #stream{conn = #conn{socket = Socket}}) ->
    {error, closed};
event({tcp_error, Socket, _}, #stream{conn = #conn{socket = Socket}}) ->
    {error, closed};
event(_, _) ->
    other.

decoded({more, Data, Decoder}, Conn, Stream) ->
    {data, Data, Stream#stream{conn = Conn, decoder = Decoder}};
decoded({last, Data, _}, Conn, Stream) ->
    %% The connection ends with the stream: what follows on it is not answered.
    {last, Data, Stream#stream{conn = armed(once, Conn)}};
decoded({error, Reason}, _, _) ->
    {error, Reason}.

%% @private
-spec start(100..599, [{binary(), iodata()}], #stream{}) -> {ok, #stream{}} | {error, closed}.
start(Status, Headers, #stream{conn = #conn{buffer = Buffer} = Conn} = Stream) ->
    ok = continue(Stream#stream.continue andalso Buffer =:= <<>>, Conn),
    All = [{<<"connection">>, <<"close">>}, {<<"transfer-encoding">>, <<"chunked">>} | Headers],
    sent(send(head_of(Status, All), Conn), Stream).

%% @private
-spec write(iodata(), #stream{}) -> {ok, #stream{}} | {error, closed | timeout}.
write(Data, #stream{conn = Conn} = Stream) ->
    sent(send(ml_cluster_http1:chunk(Data), Conn), Stream).

sent(ok, Stream) -> {ok, Stream};
sent({error, timeout}, _) -> {error, timeout};
sent({error, _}, _) -> {error, closed}.

%% @private
-spec finish(#stream{}) -> ok | {error, closed}.
finish(#stream{conn = Conn}) ->
    case send(ml_cluster_http1:last_chunk(), Conn) of
        ok -> ok;
        {error, _} -> {error, closed}
    end.

now_ms() -> erlang:monotonic_time(millisecond).
