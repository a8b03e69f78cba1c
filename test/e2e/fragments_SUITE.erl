%% @doc Large messages both ways, whole and in turn with small ones: between a real worker and real
%% nodes, and by hand where the order of frames matters.
-module(fragments_SUITE).

-compile([export_all, nowarn_export_all]).

-include_lib("stdlib/include/assert.hrl").

-define(MEGABYTE, 1000000).

suite() -> [{timetrap, {minutes, 3}}].

all() ->
    [
        a_large_request_arrives_whole, large_requests_of_many_processes, a_large_reply_is_whole,
        large_replies_of_many_processes, a_caller_killed_while_it_sends, a_reply_holds_up_no_ping,
        a_reply_holds_up_no_call, a_request_holds_up_no_ping, a_request_holds_up_no_call,
        a_request_holds_up_no_tick, ticks_between_fragments, what_a_large_reply_adds,
        what_a_large_request_adds, large_messages_and_a_short_ticktime, requests_in_turn, over_the_caps,
        broken_fragments,
        a_connection_lost_between_fragments
    ].

init_per_suite(Config) ->
    ok = e2e:start_distribution(ct_fragments),
    Worker = e2e:start_worker(worker),
    [{worker, Worker}, {node, e2e:node_of(Worker)} | Config].

end_per_suite(Config) ->
    ok = e2e:stop(proplists:get_value(worker, Config)),
    e2e:stop_distribution().

%% Whatever the case did, it cost nobody the connection.
init_per_testcase(_Case, Config) ->
    pong = net_adm:ping(node_of(Config)),
    Node = node_of(Config),
    Watcher = spawn_link(fun() ->
        true = erlang:monitor_node(Node, true),
        receive {nodedown, Node} -> exit(connection_lost); stop -> ok end
    end),
    [{watcher, Watcher} | Config].

end_per_testcase(_Case, Config) ->
    proplists:get_value(watcher, Config) ! stop,
    ?assertEqual(pong, net_adm:ping(node_of(Config))).

node_of(Config) -> proplists:get_value(node, Config).

%% ---- With real nodes -----------------------------------------------------------------------------

%% Each text is far over the model's limit: its vector is that of its beginning, where it differs.
a_large_request_arrives_whole(Config) ->
    Begin = fun(N) -> <<"beginning number ", (integer_to_binary(N))/binary, (binary:copy(<<" word">>, 300))/binary>> end,
    Long = [<<(Begin(N))/binary, (binary:copy(<<" word">>, 180000))/binary>> || N <- lists:seq(1, 50)],
    ?assert(iolist_size(Long) > 45 * ?MEGABYTE),
    #{embeddings := Vectors} = encode(Config, Long),
    #{embeddings := Expected} = encode(Config, [Begin(N) || N <- lists:seq(1, 50)]),
    ?assertEqual(Expected, Vectors).

large_requests_of_many_processes(Config) ->
    Answers = in_parallel(20, fun(N) -> undef_of(Config, [N, binary:copy(<<N>>, 3 * ?MEGABYTE)]) end),
    ?assertEqual(lists:duplicate(20, 2), Answers).

%% What undef says of the arguments: their number, where they are large.
undef_of(Config, Args) ->
    {badrpc, {'EXIT', {undef, [{ml_worker, no_such, Said, []}]}}} =
        rpc:call(node_of(Config), ml_worker, no_such, Args),
    Said.

a_large_reply_is_whole(Config) ->
    #{embeddings := [Vector]} = encode(Config, [<<"again">>]),
    #{embeddings := Vectors} = encode(Config, lists:duplicate(14000, <<"again">>)),
    ?assertEqual(14000, length(Vectors)),
    ?assertEqual([Vector], lists:usort(Vectors)).

large_replies_of_many_processes(Config) ->
    Text = fun(N) -> <<"reply number ", (integer_to_binary(N))/binary>> end,
    Expected = [hd(maps:get(embeddings, encode(Config, [Text(N)]))) || N <- lists:seq(1, 10)],
    Answers = in_parallel(10, fun(N) ->
        #{embeddings := Vectors} = encode(Config, lists:duplicate(100 * N, Text(N))),
        [Vector] = lists:usort(Vectors),
        {length(Vectors), Vector}
    end),
    ?assertEqual([{100 * N, V} || {N, V} <- lists:zip(lists:seq(1, 10), Expected)], Answers).

%% Its node sends the rest of the message all the same, or none of it: the worker is in step.
a_caller_killed_while_it_sends(Config) ->
    [begin
        {Pid, Monitor} = spawn_monitor(fun() -> undef_of(Config, [binary:copy(<<"x">>, 60 * ?MEGABYTE)]) end),
        timer:sleep(Wait),
        exit(Pid, kill),
        receive {'DOWN', Monitor, process, Pid, _} -> ok end
     end || Wait <- [0, 1, 2, 5, 10, 20]],
    ?assertEqual(1, undef_of(Config, [binary:copy(<<"x">>, ?MEGABYTE)])).

in_parallel(Count, Fun) ->
    Self = self(),
    Pids = [spawn_link(fun() -> Self ! {self(), Fun(N)} end) || N <- lists:seq(1, Count)],
    [receive {Pid, Answer} -> Answer end || Pid <- Pids].

encode(Config, Texts) ->
    #{} = rpc:call(node_of(Config), ml_worker, encode, [Texts, default]).

%% ---- With a real node and a clock ----------------------------------------------------------------

what_a_large_reply_adds(Config) -> what_is_added(Config, reply, recv_oct).
what_a_large_request_adds(Config) -> what_is_added(Config, request, send_oct).

%% Small round trips on the connection of a real node while 50 MB are on their way: how much of the
%% large one comes between question and answer, and by how much the answer is later than on an idle
%% connection. Behind the large one, instead of between its pieces, there would be one in each turn, and
%% it would be behind 25 MB and half of the time that they take.
what_is_added(Config, Large, Octets) ->
    {Peer, PeerNode} = e2e:start_peer(large),
    true = erpc:call(PeerNode, code, add_patha, [filename:dirname(code:which(?MODULE))]),
    [begin
        {Alone, During, Turns} = erpc:call(PeerNode, ?MODULE, measure, [node_of(Config), Kind, Large, Octets]),
        Added = median([Took || {Took, _} <- During]) - median(Alone),
        Between = median([Bytes || {_, Bytes} <- During]),
        ct:log("~s during a ~s: ~b us alone, ~b more while it lasts, behind ~b kB (medians; ~b of them;"
               " the large one takes ~b ms)", [Kind, Large, median(Alone), Added, Between div 1000, length(During),
                                               median(Turns) div 1000]),
        ?assert(length(During) >= 2 * length(Turns)),
        ?assert(Between < 15 * ?MEGABYTE),
        ?assert(Added < max(20000, median(Turns) div 10))
     end || Kind <- [ping, text]],
    e2e:stop_peer({Peer, PeerNode}).

median(Numbers) -> lists:nth((length(Numbers) + 1) div 2, lists:sort(Numbers)).

%% In the peer: what small round trips take alone, what they take and how many bytes pass meanwhile when
%% they begin with the large message under way, and what that takes; microseconds.
measure(Node, Kind, Large, Octets) ->
    pong = net_adm:ping(Node),
    #{embeddings := [_]} = rpc:call(Node, ml_worker, encode, [[<<"again">>], default]),
    Alone = [element(1, timer:tc(fun() -> small(Node, Kind) end)) || _ <- lists:seq(1, 300)],
    {During, Turns} = lists:unzip([turn(Node, Kind, Large, Octets) || _ <- lists:seq(1, 5)]),
    {Alone, lists:append(During), Turns}.

turn(Node, Kind, Large, Octets) ->
    Before = octets(Node, Octets),
    {Pid, Monitor} = spawn_monitor(fun() -> exit({took, element(1, timer:tc(fun() -> large(Node, Large) end))}) end),
    UnderWay = fun(Now) -> Now > Before + ?MEGABYTE andalso Now < Before + 49 * ?MEGABYTE end,
    Times = small_until(Monitor, Node, Kind, Octets, UnderWay, []),
    receive {'DOWN', Monitor, process, Pid, {took, Took}} -> {Times, Took} end.

small_until(Monitor, Node, Kind, Octets, UnderWay, Times) ->
    case process_info(self(), message_queue_len) of
        {_, 0} ->
            Before = octets(Node, Octets),
            {Took, _} = timer:tc(fun() -> small(Node, Kind) end),
            More = [{Took, octets(Node, Octets) - Before} || UnderWay(Before)],
            small_until(Monitor, Node, Kind, Octets, UnderWay, More ++ Times);
        _ ->
            Times
    end.

%% What has passed on the connection, in one direction.
octets(Node, Which) ->
    {Node, Port} = lists:keyfind(Node, 1, erlang:system_info(dist_ctrl)),
    {ok, [{Which, Count}]} = inet:getstat(Port, [Which]),
    Count.

small(Node, ping) -> pong = net_adm:ping(Node);
small(Node, text) -> #{embeddings := [_]} = rpc:call(Node, ml_worker, encode, [[<<"again">>], default]).

%% 50 MB each.
large(Node, reply) ->
    #{embeddings := [<<_:384/binary-unit:32>> | _]} =
        rpc:call(Node, ml_worker, encode, [lists:duplicate(32500, <<"again">>), default, #{format => binary}]);
large(Node, request) ->
    {badrpc, {'EXIT', {undef, _}}} =
        rpc:call(Node, ml_worker, no_such, [[binary:copy(<<N>>, 50000) || N <- lists:seq(1, 1000)]]).

%% A node with a net_ticktime of 4 s, for three of them: 50 MB one way or the other all the time, and
%% small calls between, each answered; neither side takes the other for dead.
large_messages_and_a_short_ticktime(Config) ->
    Node = node_of(Config),
    {ok, Peer, PeerNode} = peer:start(#{
        name => e2e:unique(short), host => "127.0.0.1", longnames => true, connection => standard_io,
        args => ["-setcookie", atom_to_list(erlang:get_cookie()), "-kernel", "net_ticktime", "4",
                 "-kernel", "inet_dist_use_interface", "{127,0,0,1}", "-pa", filename:dirname(code:which(?MODULE))]}),
    {Large, Small, Longest} = peer:call(Peer, ?MODULE, keep_busy, [Node, 13000], 120000),
    ct:log("~b large messages, ~b small calls, the longest of which took ~b ms", [Large, Small, Longest div 1000]),
    ?assert(Large >= 4),
    ?assert(Small > 20),
    ?assert(Longest < 4000000),
    ?assertEqual(nomatch, re:run(e2e:log(proplists:get_value(worker, Config)),
                                 "peer disconnected.*" ++ atom_to_list(PeerNode))),
    peer:stop(Peer).

%% In the peer.
keep_busy(Node, Ms) ->
    pong = net_adm:ping(Node),
    true = erlang:monitor_node(Node, true),
    Self = self(),
    Until = erlang:monotonic_time(millisecond) + Ms,
    Large = spawn_link(fun() -> Self ! {self(), large_until(Node, Until, 0)} end),
    {Small, Longest} = small_until(Node, Until, 0, 0),
    Sent = receive {Large, Count} -> Count end,
    receive {nodedown, Node} -> error(connection_lost) after 0 -> {Sent, Small, Longest} end.

large_until(Node, Until, Count) ->
    case erlang:monotonic_time(millisecond) < Until of
        true ->
            _ = [large(Node, Which) || Which <- [request, reply]],
            large_until(Node, Until, Count + 2);
        false ->
            Count
    end.

small_until(Node, Until, Count, Longest) ->
    case erlang:monotonic_time(millisecond) < Until of
        true ->
            {Took, _} = timer:tc(fun() -> small(Node, text) end),
            timer:sleep(20),
            small_until(Node, Until, Count + 1, max(Longest, Took));
        false ->
            {Count, Longest}
    end.

%% ---- By hand -------------------------------------------------------------------------------------

%% The peer reads nothing until the reply has begun, and then asks for a pong: it comes before the
%% reply's end, behind what was with the kernel by then.
a_reply_holds_up_no_ping(Config) ->
    Socket = connected(node_of(Config)),
    {Sequence, Count} = begun_reply(Socket),
    ?assert(Count > 700),
    ok = gen_tcp:send(Socket, ping()),
    Before = fragments_until_pong(Socket, Sequence, 1),
    ct:log("the pong came after ~b of ~b fragments", [Before, Count]),
    ?assert(Before < Count),
    gen_tcp:close(Socket).

%% A large reply of which the first fragment is here: its sequence, and how many there will be.
begun_reply(Socket) ->
    ok = gen_tcp:send(Socket, dist_wire:whole(dist_wire:spawn_control(make_ref()),
        [make_ref(), ml_worker, encode, [lists:duplicate(14000, <<"again">>), default]])),
    {message, {31, _, _, 2, _}, _} = dist_wire:next(Socket, 20000),
    {fragment, Sequence, Count} = dist_wire:next(Socket, 60000),
    {Sequence, Count}.

fragments_until_pong(Socket, Sequence, Count) ->
    case dist_wire:next(Socket, 20000) of
        {fragment, Sequence, _} -> fragments_until_pong(Socket, Sequence, Count + 1);
        {message, {2, _, _}, {_, yes}} -> Count
    end.

%% A call of one text that no cache knows, computed while the reply waits for its reader: the answer
%% comes before the reply's end.
a_reply_holds_up_no_call(Config) ->
    Socket = connected(node_of(Config)),
    {Sequence, _} = begun_reply(Socket),
    #{queue := #{texts := Before}} = rpc:call(node_of(Config), ml_worker, info, []),
    ok = gen_tcp:send(Socket, one_text_call(small)),
    ok = e2e:eventually(fun() ->
        #{queue := #{texts := Now}} = rpc:call(node_of(Config), ml_worker, info, []),
        Now =:= Before + 1
    end),
    ?assertEqual([small, large], answers(Socket, Sequence, [])),
    gen_tcp:close(Socket).

%% Which of the two ended first.
answers(_, _, [_, _] = Ended) -> lists:reverse(Ended);
answers(Socket, Sequence, Ended) ->
    case dist_wire:next(Socket, 20000) of
        {fragment, Sequence, 1} -> answers(Socket, Sequence, [large | Ended]);
        {message, {28, _, _, _}, {small, return, _}} -> answers(Socket, Sequence, [small | Ended]);
        _ -> answers(Socket, Sequence, Ended)
    end.

one_text_call(Tag) ->
    Text = list_to_binary(e2e:unique("one text")),
    dist_wire:whole(dist_wire:spawn_control(make_ref()), [Tag, ml_worker, encode, [[Text], default]]).

a_request_holds_up_no_call(Config) ->
    Socket = connected(node_of(Config)),
    Request = request_in_fragments(7, 50 * ?MEGABYTE),
    ok = gen_tcp:send(Socket, lists:droplast(Request)),
    ok = gen_tcp:send(Socket, one_text_call(small)),
    {message, {31, _, _, 2, _}, _} = dist_wire:next(Socket, 20000),
    ?assertMatch({message, {28, _, _, _}, {small, return, _}}, dist_wire:next(Socket, 20000)),
    ok = gen_tcp:send(Socket, lists:last(Request)),
    ?assertMatch({_, error, undef, _}, down(Socket)),
    gen_tcp:close(Socket).

%% Nor does a peer that stops in the middle of a message look like one that has gone.
a_request_holds_up_no_tick(_) ->
    Worker = e2e:start_worker(worker, ["--tick-interval", "1"]),
    Socket = connected(e2e:node_of(Worker)),
    ok = gen_tcp:send(Socket, lists:droplast(request_in_fragments(7, 50 * ?MEGABYTE))),
    [?assertEqual({ok, <<0:32>>}, gen_tcp:recv(Socket, 4, 20000)) || _ <- [1, 2]],
    gen_tcp:close(Socket),
    ok = e2e:stop(Worker).

%% A peer ticks when it likes, also in the middle of what it sends.
ticks_between_fragments(Config) ->
    Socket = connected(node_of(Config)),
    ok = gen_tcp:send(Socket, lists:join(<<0:32>>, request_in_fragments(7, 5 * ?MEGABYTE))),
    ?assertMatch({_, error, undef, _}, down(Socket)),
    gen_tcp:close(Socket).

a_request_holds_up_no_ping(Config) ->
    Socket = connected(node_of(Config)),
    [First | Rest] = request_in_fragments(7, 5 * ?MEGABYTE),
    ok = gen_tcp:send(Socket, First),
    ok = gen_tcp:send(Socket, ping()),
    {message, {2, _, _}, {_, yes}} = dist_wire:next(Socket, 5000),
    ok = gen_tcp:send(Socket, Rest),
    {message, {31, _, _, 2, _}, _} = dist_wire:next(Socket, 5000),
    ?assertMatch({message, {28, _, _, _}, {_, error, undef, [{ml_worker, no_such, 1, []}]}},
                 dist_wire:next(Socket, 5000)),
    gen_tcp:close(Socket).

requests_in_turn(Config) ->
    Socket = connected(node_of(Config)),
    Requests = [request_in_fragments(Sequence, 200000 * Sequence) || Sequence <- [1, 2, 3, 4]],
    ok = gen_tcp:send(Socket, in_turn(Requests)),
    [?assertMatch({message, {31, _, _, 2, _}, _}, spawn_reply_or_down(Socket)) || _ <- Requests],
    gen_tcp:close(Socket).

in_turn([]) -> [];
in_turn(Lists) -> [[hd(L) || L <- Lists], in_turn([tl(L) || L <- Lists, tl(L) =/= []])].

spawn_reply_or_down(Socket) ->
    case dist_wire:next(Socket, 5000) of
        {message, {28, _, _, _}, _} -> spawn_reply_or_down(Socket);
        Other -> Other
    end.

over_the_caps(_) ->
    Worker = e2e:start_worker(worker, ["--max-message-bytes", "1000000", "--max-reassembly-bytes", "1500000"]),
    Socket = connected(e2e:node_of(Worker)),
    ok = gen_tcp:send(Socket, request_in_fragments(1, 3 * ?MEGABYTE)),
    ?assertMatch({_, error, {too_large, frame, Got, 1000000}, _} when Got > 3 * ?MEGABYTE, down(Socket)),
    %% Two that are allowed by themselves, but not at once.
    [Second, Third] = [request_in_fragments(Sequence, 900000) || Sequence <- [2, 3]],
    ok = gen_tcp:send(Socket, lists:droplast(Second)),
    ok = gen_tcp:send(Socket, Third),
    ?assertMatch({_, error, {overloaded, _}, _}, down(Socket)),
    ok = gen_tcp:send(Socket, lists:last(Second)),
    ?assertMatch({_, error, undef, _}, down(Socket)),
    gen_tcp:close(Socket),
    ok = e2e:stop(Worker).

down(Socket) ->
    case dist_wire:next(Socket, 5000) of
        {message, {28, _, _, _}, Reason} -> Reason;
        {message, {31, _, _, 2, _}, _} -> down(Socket)
    end.

%% They cost their sender the connection, and nobody else anything.
broken_fragments(Config) ->
    [First, Second | _] = request_in_fragments(1, 200000),
    [begin
        Socket = connected(node_of(Config)),
        ok = gen_tcp:send(Socket, Frames),
        ?assertEqual({error, closed}, gen_tcp:recv(Socket, 0, 5000))
     end || Frames <- [Second, [First, First], [First, Second, Second],
                       dist_wire:framed(<<131, $E, 1:64, 0:64, 0, "x">>),
                       dist_wire:framed(<<131, $E, 1:64, 2:64, 1, "x">>),
                       dist_wire:framed(<<131, $D, 1, "x">>), dist_wire:framed(<<131, $E, 1:64>>),
                       dist_wire:framed(<<131, $G>>),
                       [dist_wire:framed(<<131, $E, N:64, 2:64, 0, "x">>) || N <- lists:seq(1, 5000)]]].

a_connection_lost_between_fragments(Config) ->
    [begin
        Socket = connected(node_of(Config)),
        ok = gen_tcp:send(Socket, lists:droplast(request_in_fragments(1, 20 * ?MEGABYTE))),
        ok = gen_tcp:close(Socket)
     end || _ <- lists:seq(1, 20)],
    ?assertEqual(pong, net_adm:ping(node_of(Config))).

connected(Node) ->
    Socket = dist_wire:connect(Node),
    Name = e2e:unique(by_hand) ++ "@127.0.0.1",
    ok = dist_wire:handshake(Socket, Name, atom_to_list(erlang:get_cookie()), dist_wire:flags_with_fragments()),
    Socket.

ping() ->
    dist_wire:whole({6, self(), '', net_kernel},
                    {'$gen_call', {self(), [alias | make_ref()]}, {is_auth, node()}}).

%% Frames of a call of ml_worker:no_such/1 with that many bytes.
request_in_fragments(Sequence, Bytes) ->
    dist_wire:fragments(Sequence, dist_wire:spawn_control(make_ref()),
                        [make_ref(), ml_worker, no_such, [binary:copy(<<"x">>, Bytes)]]).
