%% @doc What 50 MB that are on their way add to small messages of the same connection: measured by a
%% peer that reads frames and decodes none of the 50 MB, so that what it sees is the other side's.
%% dist_bench prints the rows.
-module(in_flight).

-export([rows/1]).

-define(TURNS, 5).
-define(ALONE, 1000).
-define(BYTES, 50000000).
-define(BETWEEN, 4).  % fragments of a request between two small messages

%% @doc [{Name, [Text of each node]}]
rows(Nodes) ->
    Measured = [measure(Node) || Node <- Nodes],
    [{Name, [show(maps:get(Key, Of)) || Of <- Measured]} ||
        {Key, Name} <- [{{alone, ping}, "ping alone, p50, p99"}, {{reply, ping}, "ping during a reply of 50 MB"},
                        {{request, ping}, "ping during a request of 50 MB"},
                        {{alone, text}, "one text alone"}, {{reply, text}, "one text during a reply of 50 MB"},
                        {{request, text}, "one text during a request of 50 MB"}]].

show(Times) ->
    Sorted = lists:sort(Times),
    lists:join(", ", [integer_to_list(lists:nth(max(1, round(P * length(Sorted))), Sorted) div 1000)
                      || P <- [0.5, 0.99]]).

measure(Node) -> maps:from_list([{{What, Kind}, times(Node, What, Kind)} ||
                                    What <- [alone, reply, request], Kind <- [ping, text]]).

%% The round trips of small messages in nanoseconds, each sent when the one before was answered.
times(Node, What, Kind) ->
    {Socket, _} = Peer = connected(Node),
    Times = case What of
        alone -> [round_trip(Peer, Kind) || _ <- lists:seq(1, ?ALONE)];
        reply -> lists:append([during_reply(Peer, Kind) || _ <- lists:seq(1, ?TURNS)]);
        request -> lists:append([during_request(Peer, Kind) || _ <- lists:seq(1, ?TURNS)])
    end,
    gen_tcp:close(Socket),
    Times.

%% The socket, and a process of that name, which the answers go to: they come on this connection.
connected(Node) ->
    Socket = dist_wire:connect(Node),
    Name = lists:concat(["in_flight_", erlang:unique_integer([positive]), "@127.0.0.1"]),
    Caller = binary_to_term(<<131, 88, 119, (length(Name)), (list_to_binary(Name))/binary, 1:32, 0:32, 1:32>>),
    ok = dist_wire:handshake(Socket, Name, atom_to_list(erlang:get_cookie()), dist_wire:flags_with_fragments()),
    %% What our own kernel holds must not stand before the small messages.
    ok = inet:setopts(Socket, [{packet, 4}, {active, true}, {sndbuf, 262144}, {high_watermark, 65536}]),
    {Socket, Caller}.

round_trip({Socket, Caller}, Kind) ->
    send(Socket, small(Kind, Caller)),
    answer(Socket).

%% What else is small (SPAWN_REPLY, the answer to a large request) is skipped.
answer(Socket) ->
    receive {tcp, Socket, <<131, $D, _/binary>> = Frame} -> age(Frame, fun() -> answer(Socket) end) end.

during_reply({Socket, Caller} = Peer, Kind) ->
    send(Socket, large_reply(Caller)),
    receive {tcp, Socket, <<131, $E, _/binary>>} -> ok end,
    send(Socket, small(Kind, Caller)),
    until_last(Peer, Kind, []).

until_last({Socket, Caller} = Peer, Kind, Times) ->
    receive
        %% The last one's answer is still to come.
        {tcp, Socket, <<131, $F, _:64, 1:64, _/binary>>} -> [answer(Socket) | Times];
        {tcp, Socket, <<131, $D, _/binary>> = Frame} ->
            case age(Frame, fun() -> none end) of
                none -> until_last(Peer, Kind, Times);
                Age ->
                    send(Socket, small(Kind, Caller)),
                    until_last(Peer, Kind, [Age | Times])
            end;
        {tcp, Socket, _} -> until_last(Peer, Kind, Times)
    end.

%% As a BEAM node does it: small ones between the pieces of the large one. Written by a process of its
%% own, for it waits for the socket.
during_request({Socket, Caller} = Peer, Kind) ->
    Groups = groups(large_request(Caller)),
    _ = spawn_link(fun() -> [send_group(Peer, Kind, Group) || Group <- Groups] end),
    [answer(Socket) || _ <- Groups].

groups(Frames) when length(Frames) =< ?BETWEEN -> [Frames];
groups(Frames) ->
    {Now, Later} = lists:split(?BETWEEN, Frames),
    [Now | groups(Later)].

send_group({Socket, Caller}, Kind, Frames) ->
    [send(Socket, Frame) || Frame <- Frames],
    send(Socket, small(Kind, Caller)).

%% The socket puts the lengths in front.
send(Socket, <<_:32, Frame/binary>>) -> ok = gen_tcp:send(Socket, Frame).

%% Each carries the time at which it was made as the tag that comes back.
small(ping, Caller) ->
    dist_wire:whole({6, Caller, '', net_kernel}, {'$gen_call', {Caller, now_ns()}, {is_auth, node()}});
small(text, Caller) ->
    dist_wire:whole(call_of(Caller), [now_ns(), ml_worker, encode,
        [[<<"the same text">>], default, #{format => binary}]]).

%% Of the message that this frame answers; another frame is none.
age(Frame, Otherwise) ->
    case dist_wire:read(Frame) of
        {message, _, {Sent, yes}} when is_integer(Sent) -> now_ns() - Sent;
        {message, _, {Sent, return, _}} when is_integer(Sent) -> now_ns() - Sent;
        _ -> Otherwise()
    end.

large_reply(Caller) ->
    dist_wire:whole(call_of(Caller), [make_ref(), ml_worker, encode,
        [lists:duplicate(?BYTES div 1541, <<"the same text">>), default, #{format => binary}]]).

%% Texts that nobody embeds: the function is one that a plain node has, and a worker has not.
large_request(Caller) ->
    Texts = lists:duplicate(?BYTES div 505, binary:copy(<<"x">>, 500)),
    dist_wire:fragments(1, call_of(Caller), [make_ref(), erlang, is_list, [Texts]]).

call_of(Caller) -> {29, make_ref(), Caller, Caller, {erpc, execute_call, 4}, [monitor]}.

now_ns() -> erlang:monotonic_time(nanosecond).
