%% @doc Serves {@link ml_cluster_http} with mochiweb: the only module that knows mochiweb.
%%
%% Each connection is a process of mochiweb's. A request is handled in a process of its own while
%% the connection's watches the socket, so that a client that hangs up cancels its work.
-module(ml_cluster_mochiweb).

-export([usable/0, child_spec/2, loop/1, port/0]).

%% A body read in pieces has one deadline for all of them.
-define(READ, 65536).
%% The chunk lines of a chunked body are short; ours is not the place for extensions.
-define(MAX_LINE, 1024).

%% @doc Is mochiweb on this node?
-spec usable() -> ok | {error, binary()}.
usable() ->
    case code:ensure_loaded(mochiweb_http) of
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
        {loop, {?MODULE, loop}},
        {max, Max},
        %% Without it a keep-alive reply takes 40 ms more.
        {nodelay, true}
    ],
    #{id => ?MODULE, start => {mochiweb_http, start_link, [Options]}}.

%% @doc The port that is listened on.
-spec port() -> inet:port_number().
port() -> mochiweb_socket_server:get(?MODULE, port).

%% @doc Answers one request; called by mochiweb.
-spec loop(tuple()) -> ok.
loop(Req) ->
    Started = erlang:monotonic_time(microsecond),
    Head = head(Req),
    #{status := Status} = Response = respond(Head, Req),
    Headers = [{binary_to_list(Key), Value} || {Key, Value} <- maps:get(headers, Response)],
    All = [{"Server", "ml_cluster"} | Headers],
    _ = mochiweb_request:respond({Status, All, body(Response)}, Req),
    Took = erlang:monotonic_time(microsecond) - Started,
    ml_cluster_metrics:observe(ml_cluster_http:label(maps:get(path, Head)), Status, Took).

body(#{body := Body}) -> Body.

respond(Head, Req) ->
    case ml_cluster_http:admit(Head) of
        {respond, Response} -> closing(Response);
        {read, Bounds} -> read(Bounds, Head, Req)
    end.

%% The body was not read: what follows on the connection is not a request.
closing(#{headers := Headers} = Response) ->
    put(mochiweb_request_force_close, true),
    Response#{headers := [{<<"connection">>, <<"close">>} | Headers]}.

read(#{limit := Limit, timeout := Timeout}, Head, Req) ->
    Socket = mochiweb_request:get(socket, Req),
    Deadline = erlang:monotonic_time(millisecond) + Timeout,
    {ok, Declared} = ml_cluster_http_body:declared(maps:get(headers, Head)),
    continue(Declared, Head, Socket),
    case body(Declared, Limit, Deadline, Socket) of
        {ok, Body} ->
            put(mochiweb_request_recv, true),
            watched(Head#{body := Body}, Socket);
        {error, closed} ->
            exit(normal);
        {error, Reason} ->
            closing(ml_cluster_http:refuse(Reason, Head))
    end.

%% ---- The head ----

head(Req) ->
    Headers = mochiweb_headers:to_list(mochiweb_request:get(headers, Req)),
    #{
        method => method(mochiweb_request:get(method, Req)),
        path => path(mochiweb_request:get(raw_path, Req)),
        headers => lists:foldl(fun add_header/2, #{}, Headers),
        body => <<>>
    }.

method(Method) when is_atom(Method) -> atom_to_binary(Method);
method(Method) -> iolist_to_binary(Method).

%% Only the path: none of our routes takes a query.
path(Raw) ->
    Text = iolist_to_binary(Raw),
    hd(binary:split(Text, [<<"?">>, <<"#">>])).

%% Of a header that stands twice both values count, or one of two lengths could hide.
add_header({Name, Value}, Headers) ->
    Key = list_to_binary(string:lowercase(name(Name))),
    Text = iolist_to_binary(Value),
    maps:update_with(Key, fun(Old) -> <<Old/binary, ", ", Text/binary>> end, Text, Headers).

name(Name) when is_atom(Name) -> atom_to_list(Name);
name(Name) -> Name.

continue(0, _, _) ->
    ok;
continue(_, #{headers := #{<<"expect">> := _}}, Socket) ->
    _ = gen_tcp:send(Socket, <<"HTTP/1.1 100 Continue\r\n\r\n">>),
    ok;
continue(_, _, _) ->
    ok.

%% ---- The body ----

body(chunked, Limit, Deadline, Socket) ->
    chunks(Socket, Limit, Limit, Deadline, []);
body(Length, _, Deadline, Socket) ->
    pieces(Socket, Length, Deadline, []).

pieces(_, 0, _, Read) ->
    {ok, iolist_to_binary(lists:reverse(Read))};
pieces(Socket, Left, Deadline, Read) ->
    case recv(Socket, min(Left, ?READ), Deadline) of
        {ok, Piece} -> pieces(Socket, Left - byte_size(Piece), Deadline, [Piece | Read]);
        {error, _} = Error -> Error
    end.

chunks(Socket, Left, Limit, Deadline, Read) ->
    case chunk_size(line(Socket, Deadline)) of
        {ok, 0} -> last_chunk(Socket, Deadline, Read);
        {ok, Size} when Size > Left -> {error, {too_large, <<"body">>, Limit - Left + Size, Limit}};
        {ok, Size} -> chunk(Socket, Size, Left, Limit, Deadline, Read);
        {error, _} = Error -> Error
    end.

chunk(Socket, Size, Left, Limit, Deadline, Read) ->
    case pieces(Socket, Size + 2, Deadline, []) of
        {ok, <<Piece:Size/binary, "\r\n">>} ->
            chunks(Socket, Left - Size, Limit, Deadline, [Piece | Read]);
        {ok, _} ->
            {error, {malformed, <<"a chunk of the body has no end">>}};
        {error, _} = Error ->
            Error
    end.

%% Trailers say nothing to us, but they are there to be read; few, or it is an attack.
last_chunk(Socket, Deadline, Read) -> trailers(Socket, Deadline, Read, 16).

trailers(_, _, _, 0) ->
    {error, {malformed, <<"too many trailers">>}};
trailers(Socket, Deadline, Read, Left) ->
    case line(Socket, Deadline) of
        {ok, <<>>} -> {ok, iolist_to_binary(lists:reverse(Read))};
        {ok, _} -> trailers(Socket, Deadline, Read, Left - 1);
        {error, _} = Error -> Error
    end.

chunk_size({ok, Line}) ->
    case re:run(Line, "^([0-9A-Fa-f]{1,8})\\s*(;.*)?\\z", [{capture, [1], binary}]) of
        {match, [Size]} -> {ok, binary_to_integer(Size, 16)};
        nomatch -> {error, {malformed, <<"a chunk of the body has no size">>}}
    end;
chunk_size(Error) ->
    Error.

%% The socket's line mode would cut long lines silently; lines here are a few bytes.
line(Socket, Deadline) -> line(Socket, Deadline, <<>>).

line(_, _, Line) when byte_size(Line) > ?MAX_LINE ->
    {error, {malformed, <<"a line of the body is too long">>}};
line(Socket, Deadline, Line) ->
    case recv(Socket, 1, Deadline) of
        {ok, <<"\n">>} -> {ok, string:trim(Line, trailing, "\r")};
        {ok, Byte} -> line(Socket, Deadline, <<Line/binary, Byte/binary>>);
        {error, _} = Error -> Error
    end.

recv(Socket, Length, Deadline) ->
    Left = max(0, Deadline - erlang:monotonic_time(millisecond)),
    case mochiweb_socket:recv(Socket, Length, Left) of
        {ok, Data} -> {ok, Data};
        {error, timeout} -> {error, slow_body};
        {error, _} -> {error, closed}
    end.

%% ---- Handling, while the client is watched ----

watched(Request, Socket) ->
    {Pid, Ref} = spawn_monitor(fun() -> exit({response, ml_cluster_http:handle(Request)}) end),
    ok = mochiweb_socket:exit_if_closed(mochiweb_socket:setopts(Socket, [{active, once}])),
    await(Pid, Ref, Request, Socket).

await(Pid, Ref, Request, Socket) ->
    receive
        {'DOWN', Ref, process, Pid, {response, Response}} ->
            passive(Socket),
            Response;
        {'DOWN', Ref, process, Pid, _} ->
            passive(Socket),
            ml_cluster_http:refuse(internal, Request);
        {tcp, Socket, Early} ->
            %% The next request, sent before this one's answer. The socket stays passive now: more
            %% would have to be kept, and the answer to this one is on its way.
            ok = gen_tcp:unrecv(Socket, Early),
            await(Pid, Ref, Request, Socket);
        {tcp_closed, Socket} ->
            %% The call in it sees its caller go, and cancels at the worker.
            true = exit(Pid, kill),
            exit(normal);
        {tcp_error, Socket, _} ->
            true = exit(Pid, kill),
            exit(normal)
    end.

passive(Socket) ->
    _ = mochiweb_socket:setopts(Socket, [{active, false}]),
    receive
        {tcp, Socket, Early} -> gen_tcp:unrecv(Socket, Early)
    after 0 -> ok
    end.
