%% @doc The distribution protocol by hand, for a peer that misbehaves: epmd look-up, the handshake
%% of an initiator (version 6), frames. Format: OTP's "Distribution Protocol" chapter.
-module(dist_wire).

-export([port_of/1, connect/1, handshake/3, send_name/2, frame/1, frame/2, spawn_request/5]).
-export([receive_packet/2]).

-define(FLAGS, 16#507474fbc).

port_of(Node) ->
    [Name, Host] = string:split(atom_to_list(Node), "@"),
    {port, Port, _} = erl_epmd:port_please(Name, Host),
    Port.

connect(Node) ->
    {ok, Socket} = gen_tcp:connect({127, 0, 0, 1}, port_of(Node),
                                   [binary, {active, false}, {nodelay, true}]),
    Socket.

send_name(Socket, Name) -> send_packet(Socket, name_message(Name)).

name_message(Name) ->
    Bytes = list_to_binary(Name),
    <<"N", ?FLAGS:64, 1:32, (byte_size(Bytes)):16, Bytes/binary>>.

%% @doc The whole handshake; ok, or what came instead.
handshake(Socket, Name, Cookie) ->
    send_name(Socket, Name),
    case receive_packet(Socket, 5000) of
        {ok, <<"sok", _/binary>>} -> challenge(Socket, Cookie);
        Other -> {error, {status, Other}}
    end.

challenge(Socket, Cookie) ->
    {ok, <<"N", _Flags:64, Challenge:32, _/binary>>} = receive_packet(Socket, 5000),
    Mine = 16#12345678,
    send_packet(Socket, <<"r", Mine:32, (digest(Cookie, Challenge))/binary>>),
    Expected = digest(Cookie, Mine),
    case receive_packet(Socket, 5000) of
        {ok, <<"a", Expected/binary>>} -> ok;
        Other -> {error, {ack, Other}}
    end.

digest(Cookie, Challenge) ->
    erlang:md5([Cookie, integer_to_list(Challenge)]).

send_packet(Socket, Data) -> gen_tcp:send(Socket, <<(byte_size(Data)):16, Data/binary>>).

receive_packet(Socket, Timeout) ->
    case gen_tcp:recv(Socket, 2, Timeout) of
        {ok, <<Length:16>>} -> gen_tcp:recv(Socket, Length, Timeout);
        Error -> Error
    end.

%% @doc A pass-through frame with its length.
frame(Control) -> with_length([$p, term_to_binary(Control)]).
frame(Control, Payload) -> with_length([$p, term_to_binary(Control), term_to_binary(Payload)]).

with_length(Data) ->
    Bytes = iolist_to_binary(Data),
    <<(byte_size(Bytes)):32, Bytes/binary>>.

%% @doc What erpc:call sends: its frame.
spawn_request(From, Reference, Module, Function, Args) ->
    frame({29, Reference, From, From, {erpc, execute_call, 4}, [monitor]},
          [Reference, Module, Function, Args]).
