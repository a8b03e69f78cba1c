%% @doc The distribution protocol by hand, for a peer that misbehaves: epmd look-up, the handshake
%% of an initiator (version 6), frames; over TCP or TLS. Format: OTP's "Distribution Protocol" chapter.
-module(dist_wire).

-export([port_of/1, connect/1, connect/2, send/2, recv/3, close/1]).
-export([handshake/3, handshake/4, send_name/2, name_message/1, flags_with_fragments/0]).
-export([publish/2, prove/2, challenge/3, send_packet/2, receive_packet/2, frame/1, frame/2, spawn_request/5]).
-export([spawn_control/1, whole/1, whole/2, fragments/3, framed/1, next/2, read/1]).

-define(FLAGS, 16#507474fbc).
-define(FRAGMENTS, 16#800000).
-define(FRAGMENT_BYTES, 65536).
-define(PATIENCE, 20000).

flags_with_fragments() -> ?FLAGS bor ?FRAGMENTS.

port_of(Node) ->
    [Name, Host] = string:split(atom_to_list(Node), "@"),
    {port, Port, _} = erl_epmd:port_please(Name, Host),
    Port.

%% @doc A TCP connection to a node; what follows takes it, and what connect/2 gives, alike.
connect(Node) -> connect(Node, #{}).

%% @doc With tls => options of ssl, TLS inside. from: the address that we have; linger as gen_tcp's;
%% receive_buffer: bytes that wait here unread at most.
connect(Node, How) ->
    Options = maps:fold(fun tcp_option/3, [binary, {active, false}, {nodelay, true}], How),
    {ok, Socket} = gen_tcp:connect({127, 0, 0, 1}, port_of(Node), Options, ?PATIENCE),
    case How of
        #{tls := TlsOptions} ->
            {ok, Secured} = ssl:connect(Socket, [{active, false} | TlsOptions], ?PATIENCE),
            Secured;
        #{} -> Socket
    end.

tcp_option(from, Address, Options) -> [{ip, Address} | Options];
tcp_option(linger, Value, Options) -> [{linger, Value} | Options];
tcp_option(receive_buffer, Bytes, Options) -> [{recbuf, Bytes}, {buffer, Bytes} | Options];
tcp_option(tls, _, Options) -> Options.

send(Socket, Data) when is_port(Socket) -> gen_tcp:send(Socket, Data);
send(Socket, Data) -> ssl:send(Socket, Data).

recv(Socket, Length, Timeout) when is_port(Socket) -> gen_tcp:recv(Socket, Length, Timeout);
recv(Socket, Length, Timeout) -> ssl:recv(Socket, Length, Timeout).

close(Socket) when is_port(Socket) -> gen_tcp:close(Socket);
close(Socket) -> ssl:close(Socket).

%% @doc Registers a hidden node with epmd: the name is there while the connection is open.
publish(Name, Port) ->
    {ok, Socket} = gen_tcp:connect({127, 0, 0, 1}, epmd_port(), [binary, {active, false}], ?PATIENCE),
    Request = <<120, Port:16, 72, 0, 6:16, 5:16, (length(Name)):16, (list_to_binary(Name))/binary, 0:16>>,
    ok = send_packet(Socket, Request),
    {ok, <<118, 0, _Creation:32>>} = gen_tcp:recv(Socket, 6, ?PATIENCE),
    Socket.

epmd_port() -> list_to_integer(os:getenv("ERL_EPMD_PORT", "4369")).

send_name(Socket, Name) -> send_packet(Socket, name_message(Name)).

name_message(Name) -> name_message(Name, ?FLAGS).

name_message(Name, Flags) ->
    Bytes = list_to_binary(Name),
    <<"N", Flags:64, 1:32, (byte_size(Bytes)):16, Bytes/binary>>.

%% @doc The whole handshake; ok, or what came instead.
handshake(Socket, Name, Cookie) -> handshake(Socket, Name, Cookie, ?FLAGS).

handshake(Socket, Name, Cookie, Flags) ->
    send_packet(Socket, name_message(Name, Flags)),
    case receive_packet(Socket, ?PATIENCE) of
        {ok, <<"sok", _/binary>>} -> prove(Socket, Cookie);
        Other -> {error, {status, Other}}
    end.

%% @doc The part of the handshake that proves the cookie.
prove(Socket, Cookie) ->
    {ok, <<"N", _Flags:64, Challenge:32, _/binary>>} = receive_packet(Socket, ?PATIENCE),
    Mine = 16#12345678,
    send_packet(Socket, <<"r", Mine:32, (digest(Cookie, Challenge))/binary>>),
    Expected = digest(Cookie, Mine),
    case receive_packet(Socket, ?PATIENCE) of
        {ok, <<"a", Expected/binary>>} -> ok;
        Other -> {error, {ack, Other}}
    end.

%% @doc The handshake of one that was dialled and has read the name: ok, once the other has proved that
%% it knows the cookie, and we have.
challenge(Socket, Name, Cookie) ->
    ok = send_packet(Socket, <<"sok_simultaneous">>),
    Mine = 16#12345678,
    Bytes = list_to_binary(Name),
    ok = send_packet(Socket, <<"N", ?FLAGS:64, Mine:32, 1:32, (byte_size(Bytes)):16, Bytes/binary>>),
    Expected = digest(Cookie, Mine),
    {ok, <<"r", Theirs:32, Expected/binary>>} = receive_packet(Socket, ?PATIENCE),
    send_packet(Socket, <<"a", (digest(Cookie, Theirs))/binary>>).

digest(Cookie, Challenge) ->
    erlang:md5([Cookie, integer_to_list(Challenge)]).

%% @doc A message of the handshake: inside TLS its length takes 4 bytes.
send_packet(Socket, Data) ->
    send(Socket, <<(byte_size(Data)):(8 * prefix_bytes(Socket)), Data/binary>>).

receive_packet(Socket, Timeout) ->
    case recv(Socket, prefix_bytes(Socket), Timeout) of
        {ok, Length} -> recv(Socket, binary:decode_unsigned(Length), Timeout);
        Error -> Error
    end.

prefix_bytes(Socket) when is_port(Socket) -> 2;
prefix_bytes(_) -> 4.

%% @doc A pass-through frame with its length.
frame(Control) -> with_length([$p, term_to_binary(Control)]).
frame(Control, Payload) -> with_length([$p, term_to_binary(Control), term_to_binary(Payload)]).

with_length(Data) -> framed(iolist_to_binary(Data)).

framed(Bytes) -> <<(byte_size(Bytes)):32, Bytes/binary>>.

%% @doc What erpc:call sends: its frame.
spawn_request(From, Reference, Module, Function, Args) ->
    frame({29, Reference, From, From, {erpc, execute_call, 4}, [monitor]},
          [Reference, Module, Function, Args]).

%% ---- With a distribution header, as where both sides have set FRAGMENTS ---------------------------

spawn_control(Reference) -> {29, Reference, self(), self(), {erpc, execute_call, 4}, [monitor]}.

whole(Control) -> with_length([131, $D, 0, bare(Control)]).
whole(Control, Payload) -> with_length([131, $D, 0, bare(Control), bare(Payload)]).

%% @doc The frames of a message in pieces, in order.
fragments(Sequence, Control, Payload) ->
    Pieces = pieces(<<(bare(Control))/binary, (bare(Payload))/binary>>),
    Counted = lists:zip(lists:seq(length(Pieces), 1, -1), Pieces),
    [{First, Content} | Rest] = Counted,
    [framed(<<131, $E, Sequence:64, First:64, 0, Content/binary>>)
     | [framed(<<131, $F, Sequence:64, Number:64, Piece/binary>>) || {Number, Piece} <- Rest]].

pieces(<<Piece:?FRAGMENT_BYTES/binary, Rest/binary>>) when Rest =/= <<>> -> [Piece | pieces(Rest)];
pieces(Last) -> [Last].

bare(Term) ->
    <<131, Bytes/binary>> = term_to_binary(Term),
    Bytes.

%% @doc The next frame that is no tick: {message, Control, Payload or none}, or
%% {fragment, Sequence, Number} of a message in pieces.
next(Socket, Timeout) ->
    case recv(Socket, 4, Timeout) of
        {ok, <<0:32>>} -> next(Socket, Timeout);
        {ok, <<Length:32>>} ->
            {ok, Bytes} = recv(Socket, Length, Timeout),
            read(Bytes);
        Error -> Error
    end.

%% @doc What a frame is, without its length.
read(<<$p, Terms/binary>>) ->
    {Control, Used} = binary_to_term(Terms, [used]),
    case binary:part(Terms, Used, byte_size(Terms) - Used) of
        <<>> -> {message, Control, none};
        Payload -> {message, Control, binary_to_term(Payload)}
    end;
read(<<131, $D, 0, Terms/binary>>) ->
    {Control, Used} = binary_to_term(<<131, Terms/binary>>, [used]),
    case binary:part(Terms, Used - 1, byte_size(Terms) - Used + 1) of
        <<>> -> {message, Control, none};
        Payload -> {message, Control, binary_to_term(<<131, Payload/binary>>)}
    end;
read(<<131, Tag, Sequence:64, Number:64, _/binary>>) when Tag =:= $E; Tag =:= $F ->
    {fragment, Sequence, Number}.
