%% @doc What a peer may send: nothing of it costs the worker, or another peer, anything.
-module(worker_hostile_SUITE).

-compile([export_all, nowarn_export_all]).

-include_lib("stdlib/include/assert.hrl").

suite() -> [{timetrap, {minutes, 5}}].

all() ->
    [
        the_hand_made_peer_is_answered, wrong_cookie, wrong_handshake, silent_in_the_handshake,
        http_on_the_port, frame_cut_at_every_byte, handshake_cut_at_every_byte, huge_lengths,
        unreadable_control, nesting_bomb, unknown_operations, unreadable_payload,
        a_reader_that_never_reads, a_wrong_cookie_from_a_real_node, random_bytes, memory_is_bounded
    ].

init_per_suite(Config) ->
    ok = e2e:start_distribution(ct_hostile),
    Worker = e2e:start_worker(worker),
    [{worker, Worker}, {node, e2e:node_of(Worker)} | Config].

end_per_suite(Config) ->
    ok = e2e:stop(proplists:get_value(worker, Config)),
    e2e:stop_distribution().

%% After each case: the same process, and it answers.
end_per_testcase(_Case, Config) ->
    Worker = proplists:get_value(worker, Config),
    ?assert(filelib:is_dir(lists:concat(["/proc/", e2e:os_pid(Worker)]))),
    ?assertMatch(#{embeddings := [_]},
                 rpc:call(node_of(Config), ml_worker, encode, [[<<"alive">>], default])).

node_of(Config) -> proplists:get_value(node, Config).
cookie() -> atom_to_list(erlang:get_cookie()).
name() -> e2e:unique(evil) ++ "@127.0.0.1".

connected(Config) ->
    Socket = dist_wire:connect(node_of(Config)),
    ok = dist_wire:handshake(Socket, name(), cookie()),
    Socket.

%% Whether the worker closes this connection within the time.
is_closed(Socket, Timeout) ->
    case gen_tcp:recv(Socket, 0, Timeout) of
        {error, closed} -> true;
        {error, econnreset} -> true;
        {error, enotconn} -> true;
        {error, timeout} -> false;
        {ok, _} -> is_closed(Socket, Timeout)
    end.

encode_request() ->
    dist_wire:spawn_request(self(), make_ref(), ml_worker, encode, [[<<"by hand">>], default]).

%% So that the cases below prove something: the same peer, behaving, gets its answer.
the_hand_made_peer_is_answered(Config) ->
    Socket = connected(Config),
    ok = gen_tcp:send(Socket, encode_request()),
    {ok, <<Length:32>>} = gen_tcp:recv(Socket, 4, 5000),
    {ok, <<$p, Reply/binary>>} = gen_tcp:recv(Socket, Length, 5000),
    {31, _, _, 2, Pid} = binary_to_term(Reply),
    ?assert(is_pid(Pid)),
    {ok, <<Second:32>>} = gen_tcp:recv(Socket, 4, 5000),
    {ok, <<$p, Down/binary>>} = gen_tcp:recv(Socket, Second, 5000),
    {Control, Used} = binary_to_term(Down, [used]),
    ?assert(lists:member(element(1, Control), [21, 28])),
    ?assertMatch({_, return, #{embeddings := [_]}},
                 binary_to_term(binary:part(Down, Used, byte_size(Down) - Used))),
    gen_tcp:close(Socket).

wrong_cookie(Config) ->
    Socket = dist_wire:connect(node_of(Config)),
    ?assertMatch({error, _}, dist_wire:handshake(Socket, name(), "not the cookie")),
    ?assert(is_closed(Socket, 5000)),
    ?assertEqual(nomatch, binary:match(e2e:log(proplists:get_value(worker, Config)),
                                       list_to_binary(cookie()))).

a_wrong_cookie_from_a_real_node(Config) ->
    Code = lists:concat(["io:format(\"~p\", [net_adm:ping('", node_of(Config), "')]), halt()."]),
    {0, Output} = e2e:run("erl", ["-name", name(), "-setcookie", "wrong", "-noinput", "-eval", Code]),
    ?assertMatch({match, _}, re:run(Output, "pang")).

wrong_handshake(Config) ->
    Wrong = [<<>>, <<"N">>, <<"N", 0:64>>, <<"n", 5:16, 0:32, "x">>, <<"x", 0:100/unit:8>>,
             <<"N", 0:64, 1:32, 3:16, "a@b">>, <<"N", 16#507474fbc:64, 1:32, 65535:16, "a@b">>,
             <<"N", 16#507474fbc:64, 1:32, 4:16, 255, 254, "@b">>,
             <<"N", 16#507474fbc:64, 1:32, 0:16>>, binary:copy(<<"N">>, 60000)],
    [begin
        Socket = dist_wire:connect(node_of(Config)),
        ok = gen_tcp:send(Socket, <<(byte_size(Message)):16, Message/binary>>),
        ?assert(is_closed(Socket, 10000)),
        gen_tcp:close(Socket)
     end || Message <- Wrong].

%% One deadline for the whole handshake, however slowly its bytes drip.
silent_in_the_handshake(Config) ->
    Silent = [dist_wire:connect(node_of(Config)) || _ <- lists:seq(1, 100)],
    ?assertEqual(pong, net_adm:ping(node_of(Config))),
    [?assert(is_closed(Socket, 15000)) || Socket <- Silent].

http_on_the_port(Config) ->
    Socket = dist_wire:connect(node_of(Config)),
    _ = gen_tcp:send(Socket, <<"GET / HTTP/1.1\r\nHost: x\r\n\r\n">>),
    ?assert(is_closed(Socket, 15000)).

frame_cut_at_every_byte(Config) ->
    Frame = encode_request(),
    [begin
        Socket = connected(Config),
        ok = gen_tcp:send(Socket, binary:part(Frame, 0, Length)),
        ok = gen_tcp:close(Socket)
     end || Length <- lists:seq(0, byte_size(Frame) - 1)].

handshake_cut_at_every_byte(Config) ->
    Name = list_to_binary(name()),
    Message = <<"N", 16#507474fbc:64, 1:32, (byte_size(Name)):16, Name/binary>>,
    Packet = <<(byte_size(Message)):16, Message/binary>>,
    [begin
        Socket = dist_wire:connect(node_of(Config)),
        ok = gen_tcp:send(Socket, binary:part(Packet, 0, Length)),
        ok = gen_tcp:close(Socket)
     end || Length <- lists:seq(0, byte_size(Packet) - 1)].

%% What a length claims costs nothing: memory follows what has arrived, of a frame over the cap only
%% its head is kept.
huge_lengths(Config) ->
    Before = resident_kilobytes(Config),
    Sockets = [connected(Config) || _ <- lists:seq(1, 30)],
    Lengths = lists:append(lists:duplicate(10, [16#7fffffff, 16#80000000, 16#ffffffff])),
    Piece = binary:copy(<<0>>, 1000000),
    [_ = gen_tcp:send(Socket, [<<Length:32, $p, 131>>, Piece]) ||
        {Socket, Length} <- lists:zip(Sockets, Lengths)],
    ?assertEqual(pong, net_adm:ping(node_of(Config))),
    ?assert(resident_kilobytes(Config) - Before < 100000),
    [gen_tcp:close(Socket) || Socket <- Sockets].

unreadable_control(Config) ->
    [begin
        Socket = connected(Config),
        ok = gen_tcp:send(Socket, <<(byte_size(Bytes) + 1):32, $p, Bytes/binary>>),
        ?assert(is_closed(Socket, 5000))
     end || Bytes <- [<<131>>, <<0>>, <<131, 104, 255>>, <<131, 104, 2, 97>>, <<131, 80, 0, 0, 255, 255>>]].

nesting_bomb(Config) ->
    Deep = binary:copy(<<104, 1>>, 5000000),
    Control = term_to_binary({29, make_ref(), self(), self(), {erpc, execute_call, 4}, [monitor]}),
    Bytes = <<$p, Control/binary, 131, Deep/binary, 106>>,
    Socket = connected(Config),
    _ = gen_tcp:send(Socket, <<(byte_size(Bytes)):32, Bytes/binary>>),
    timer:sleep(200),
    gen_tcp:close(Socket).

unknown_operations(Config) ->
    Socket = connected(Config),
    Unknown = [{0}, {99, 1, 2}, {1000000}, {-1}, {29}, {29, 1, 2, 3, 4, 5}, {6, 1, 2, 3}, {2}, {19},
               {35, self(), self()}, {1, self(), self()}, {8, self(), self(), x}, {20, 1, 2, 3}, {},
               {a, b}, {1 bsl 80, x}],
    [ok = gen_tcp:send(Socket, [dist_wire:frame(U), dist_wire:frame(U, {payload})]) || U <- Unknown],
    ok = gen_tcp:send(Socket, encode_request()),
    ?assertMatch({ok, _}, await_operation(Socket, 31)),
    gen_tcp:close(Socket).

%% Reads frames until one has this operation; ticks and other answers are skipped.
await_operation(Socket, Operation) ->
    case gen_tcp:recv(Socket, 4, 5000) of
        {ok, <<0:32>>} -> await_operation(Socket, Operation);
        {ok, <<Length:32>>} ->
            {ok, <<$p, Frame/binary>>} = gen_tcp:recv(Socket, Length, 5000),
            case binary_to_term(Frame) of
                Control when element(1, Control) =:= Operation -> {ok, Control};
                _ -> await_operation(Socket, Operation)
            end;
        Error -> Error
    end.

%% A payload that cannot be read costs its own call only.
unreadable_payload(Config) ->
    Socket = connected(Config),
    [begin
        Reference = make_ref(),
        Control = term_to_binary({29, Reference, self(), self(), {erpc, execute_call, 4}, [monitor]}),
        Bytes = <<$p, Control/binary, Payload/binary>>,
        ok = gen_tcp:send(Socket, <<(byte_size(Bytes)):32, Bytes/binary>>)
     end || Payload <- [<<>>, <<131>>, <<131, 67, 0, 0>>, <<131, 108, 255, 255, 255, 255>>, <<131, 255>>,
                        term_to_binary(not_a_list), term_to_binary([make_ref(), m, f, a, b]),
                        term_to_binary([make_ref(), ml_worker, info, not_a_list]),
                        term_to_binary([make_ref(), ml_worker, info, [1 | 2]]),
                        term_to_binary([make_ref(), "ml_worker", 5, []])]],
    ok = gen_tcp:send(Socket, encode_request()),
    ?assertMatch({ok, _}, await_operation(Socket, 28)),
    gen_tcp:close(Socket).

a_reader_that_never_reads(Config) ->
    Socket = connected(Config),
    Texts = [integer_to_binary(N) || N <- lists:seq(1, 300)],
    _ = rpc:call(node_of(Config), ml_worker, encode, [Texts, default]),
    [ok = gen_tcp:send(Socket, dist_wire:spawn_request(self(), make_ref(), ml_worker, encode,
                                                       [Texts, default])) || _ <- lists:seq(1, 30)],
    Times = [element(1, timer:tc(rpc, call, [node_of(Config), ml_worker, encode, [[<<"alive">>], default]]))
             || _ <- lists:seq(1, 20)],
    ?assert(lists:max(Times) < 5000000),
    gen_tcp:close(Socket).

random_bytes(Config) ->
    _ = rand:seed(exsss, {1, 2, 3}),
    Request = encode_request(),
    [begin
        Socket = connected(Config),
        ok = gen_tcp:send(Socket, mutate(Request)),
        gen_tcp:close(Socket)
     end || _ <- lists:seq(1, 300)].

mutate(Frame) ->
    Position = 5 + rand:uniform(byte_size(Frame) - 5) - 1,
    <<Before:Position/binary, _, After/binary>> = Frame,
    <<Before/binary, (rand:uniform(256) - 1), After/binary>>.

memory_is_bounded(Config) -> ?assert(resident_kilobytes(Config) < 2000000).

resident_kilobytes(Config) ->
    {ok, Status} = file:read_file(
        lists:concat(["/proc/", e2e:os_pid(proplists:get_value(worker, Config)), "/status"])),
    {match, [Kilobytes]} = re:run(Status, "VmRSS:\\s+(\\d+)", [{capture, all_but_first, list}]),
    list_to_integer(Kilobytes).
