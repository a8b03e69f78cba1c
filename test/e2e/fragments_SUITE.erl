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
        a_request_holds_up_no_tick, requests_in_turn, over_the_caps, broken_fragments,
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
