%% @doc What a node of any release may expect of a hidden node, as black-box cases against a worker:
%% the themes of OTP's own distribution, erpc and rpc suites. Needs nothing but OTP, so that each
%% release can run it: run(Node), or main([Node]) from a command line.
-module(dist_core).

-compile([export_all, nowarn_export_all]).

-define(PATIENCE, 20000).

cases() ->
    [ping, ping_again_and_again, hidden_node, monitor_nodes, monitor_node, rpc_call, rpc_errors,
     rpc_async, rpc_multicall, rpc_cast, rpc_block_call, rpc_timeout, erpc_call, erpc_errors,
     erpc_timeout, erpc_requests, erpc_request_ids, erpc_multicall, erpc_multicall_timeout, erpc_cast,
     spawn_4, spawn_monitor_4, spawn_link_4, spawn_request_replies, spawn_monitor_tag,
     spawn_opt_link_and_monitor, monitor_of_a_name, monitor_of_a_dead_pid, monitor_of_a_live_pid,
     demonitor_of_a_live_pid, many_monitors, link_to_a_dead_pid, link_to_a_live_pid,
     unlink_of_a_live_pid, exit_signals, exit_normal_is_ignored, a_linked_caller_ends_its_call,
     signals_connect, large_exits_hold_up_no_ping, sends_are_dropped, group_leaders,
     seq_trace_tokens, every_kind_of_term, terms_of_every_size, large_terms, atoms,
     contended_atoms, hopeful_data_encoding, bulk_send, order_of_answers, many_callers, reconnects].

%% @doc [{Case, ok | {failed, What}}]
run(Node) -> [{Case, run_case(Case, Node)} || Case <- cases()].

%% @doc Prints one line per case; the exit status is the number of those that failed.
main([Node | _]) ->
    Results = run(list_to_atom(Node)),
    [io:format("~ts: ~0tp~n", [Case, Result]) || {Case, Result} <- Results],
    halt(length([C || {C, Result} <- Results, Result =/= ok])).

%% Each in a process of its own: what one leaves in its mailbox is not the next one's.
run_case(Case, Node) ->
    {Pid, Monitor} = spawn_monitor(fun() -> ?MODULE:Case(Node), exit(passed) end),
    receive
        {'DOWN', Monitor, process, Pid, passed} -> ok;
        {'DOWN', Monitor, process, Pid, Reason} -> {failed, Reason}
    after 60000 ->
        exit(Pid, kill),
        {failed, timed_out}
    end.

%% ---- The node ------------------------------------------------------------------------------------

ping(Node) ->
    pong = net_adm:ping(Node),
    pang = net_adm:ping(absent(Node)),
    pong = net_adm:ping(Node).

ping_again_and_again(Node) -> [pong = net_adm:ping(Node) || _ <- lists:seq(1, 200)].

hidden_node(Node) ->
    pong = net_adm:ping(Node),
    false = lists:member(Node, nodes()),
    true = lists:member(Node, nodes(hidden)),
    true = lists:member(Node, nodes(connected)).

monitor_nodes(Node) ->
    pong = net_adm:ping(Node),
    ok = net_kernel:monitor_nodes(true, [{node_type, all}, nodedown_reason]),
    true = erlang:disconnect_node(Node),
    {nodedown, Node, Down} = next(),
    [{node_type, hidden}, {nodedown_reason, disconnect}] = lists:sort(Down),
    pong = net_adm:ping(Node),
    {nodeup, Node, [{node_type, hidden}]} = next(),
    ok = net_kernel:monitor_nodes(false, [{node_type, all}, nodedown_reason]).

%% It says nodedown once per call of monitor_node, and when the connection goes also to monitors.
monitor_node(Node) ->
    pong = net_adm:ping(Node),
    {Pid, Monitor} = a_live_process(Node),
    true = erlang:monitor_node(Node, true),
    true = erlang:monitor_node(Node, true),
    true = erlang:disconnect_node(Node),
    [{nodedown, Node}, {nodedown, Node}, {'DOWN', Monitor, process, Pid, noconnection}] =
        lists:sort([next(), next(), next()]),
    pong = net_adm:ping(Node).

reconnects(Node) ->
    [begin
        #{api := 1} = rpc:call(Node, ml_worker, info, []),
        true = erlang:disconnect_node(Node)
     end || _ <- lists:seq(1, 20)],
    pong = net_adm:ping(Node).

%% ---- rpc -----------------------------------------------------------------------------------------

rpc_call(Node) ->
    #{api := 1} = rpc:call(Node, ml_worker, info, []),
    #{api := 1} = rpc:call(Node, ml_worker, info, [], 5000),
    #{api := 1} = rpc:call(Node, ml_worker, info, [], infinity).

rpc_errors(Node) ->
    {badrpc, {'EXIT', {undef, [{ml_worker, no_such, [a, 1], []}]}}} = rpc:call(Node, ml_worker, no_such, [a, 1]),
    {badrpc, {'EXIT', {undef, [{os, cmd, ["id"], []}]}}} = rpc:call(Node, os, cmd, ["id"]),
    {badrpc, {'EXIT', {{bad_argument, texts, _}, [{ml_worker, encode, 2, []}]}}} =
        rpc:call(Node, ml_worker, encode, [x, default]).

rpc_async(Node) ->
    Keys = [rpc:async_call(Node, ml_worker, info, []) || _ <- lists:seq(1, 20)],
    [#{api := 1} = rpc:yield(Key) || Key <- Keys],
    Key = rpc:async_call(Node, ml_worker, info, []),
    {value, #{api := 1}} = rpc:nb_yield(Key, ?PATIENCE).

rpc_multicall(Node) ->
    Absent = absent(Node),
    {[#{api := 1}, #{api := 1}], [Absent]} = rpc:multicall([Node, Absent, Node], ml_worker, info, []),
    {[#{api := 1}], []} = rpc:multicall([Node], ml_worker, info, [], 5000).

rpc_cast(Node) ->
    true = rpc:cast(Node, ml_worker, info, []),
    true = rpc:cast(Node, ml_worker, no_such, []),
    true = rpc:cast(Node, os, cmd, ["id"]),
    pong = net_adm:ping(Node).

rpc_block_call(Node) ->
    #{api := 1} = rpc:block_call(Node, ml_worker, info, []),
    #{api := 1} = rpc:block_call(Node, ml_worker, info, [], 5000),
    {badrpc, {'EXIT', {undef, _}}} = rpc:block_call(Node, ml_worker, no_such, []).

rpc_timeout(Node) ->
    {badrpc, timeout} = rpc:call(Node, ml_worker, encode, long_work(), 1),
    {badrpc, timeout} = rpc:block_call(Node, ml_worker, encode, long_work(), 1),
    none = next_within(200),
    #{api := 1} = rpc:call(Node, ml_worker, info, []).

%% ---- erpc ----------------------------------------------------------------------------------------

erpc_call(Node) ->
    #{api := 1} = erpc:call(Node, ml_worker, info, []),
    #{api := 1} = erpc:call(Node, ml_worker, info, [], 5000),
    Load = erpc:call(Node, ml_worker, get_load, []),
    true = is_float(Load).

erpc_errors(Node) ->
    {error, {exception, undef, [{ml_worker, no_such, [a], []}]}} = class(fun() -> erpc:call(Node, ml_worker, no_such, [a]) end),
    {error, {exception, {bad_argument, _, _}, [{ml_worker, encode, 2, []}]}} =
        class(fun() -> erpc:call(Node, ml_worker, encode, [x, default]) end),
    {error, {erpc, noconnection}} = class(fun() -> erpc:call(absent(Node), ml_worker, info, []) end).

erpc_timeout(Node) ->
    {error, {erpc, timeout}} = class(fun() -> erpc:call(Node, ml_worker, encode, long_work(), 1) end),
    none = next_within(200),
    #{api := 1} = erpc:call(Node, ml_worker, info, []).

erpc_requests(Node) ->
    First = erpc:send_request(Node, ml_worker, info, []),
    #{api := 1} = erpc:receive_response(First),
    Second = erpc:send_request(Node, ml_worker, info, []),
    {response, #{api := 1}} = erpc:wait_response(Second, ?PATIENCE),
    Third = erpc:send_request(Node, ml_worker, no_such, []),
    {error, {exception, undef, _}} = class(fun() -> erpc:receive_response(Third, ?PATIENCE) end),
    Late = erpc:send_request(Node, ml_worker, encode, long_work()),
    {error, {erpc, timeout}} = class(fun() -> erpc:receive_response(Late, 1) end),
    Checked = erpc:send_request(Node, ml_worker, info, []),
    {response, #{api := 1}} = erpc:check_response(next(), Checked).

%% Many requests, of which whoever has an answer comes next.
erpc_request_ids(Node) ->
    Send = fun(Function, Label, Ids) -> erpc:send_request(Node, ml_worker, Function, [], Label, Ids) end,
    Ids = Send(no_such, bad, Send(get_load, load, Send(info, info, erpc:reqids_new()))),
    Answers = request_answers(Ids),
    [bad, info, load] = lists:sort([Label || {Label, _} <- Answers]),
    {_, {error, {exception, undef, _}}} = lists:keyfind(bad, 1, Answers),
    {_, #{api := 1}} = lists:keyfind(info, 1, Answers).

request_answers(Ids) ->
    try erpc:receive_response(Ids, ?PATIENCE, true) of
        no_request -> [];
        {Answer, Label, Left} -> [{Label, Answer} | request_answers(Left)]
    catch
        Class:{Reason, Label, Left} -> [{Label, {Class, Reason}} | request_answers(Left)]
    end.

erpc_multicall(Node) ->
    [{ok, #{api := 1}}, {error, {erpc, noconnection}}, {ok, #{api := 1}}] =
        erpc:multicall([Node, absent(Node), Node], ml_worker, info, []),
    [{error, {exception, undef, _}}] = erpc:multicall([Node], ml_worker, no_such, []).

%% Those that answer in time have answered, the others timed out, and nothing comes later.
erpc_multicall_timeout(Node) ->
    [{error, {erpc, timeout}}, {error, {erpc, timeout}}] =
        erpc:multicall([Node, Node], ml_worker, encode, long_work(), 1),
    [{ok, #{api := 1}}] = erpc:multicall([Node], ml_worker, info, [], ?PATIENCE),
    none = next_within(200).

erpc_cast(Node) ->
    ok = erpc:cast(Node, ml_worker, info, []),
    ok = erpc:multicast([Node, Node], ml_worker, info, []),
    pong = net_adm:ping(Node).

%% ---- Processes -----------------------------------------------------------------------------------

spawn_4(Node) ->
    Pid = spawn(Node, ml_worker, info, []),
    true = is_pid(Pid),
    Node = node(Pid).

spawn_monitor_4(Node) ->
    {Good, GoodMonitor} = spawn_monitor(Node, ml_worker, info, []),
    {'DOWN', GoodMonitor, process, Good, normal} = next(),
    {Bad, BadMonitor} = spawn_monitor(Node, ml_worker, no_such, []),
    {'DOWN', BadMonitor, process, Bad, {undef, [{ml_worker, no_such, [], []}]}} = next(),
    {Other, OtherMonitor} = spawn_monitor(Node, os, cmd, ["id"]),
    {'DOWN', OtherMonitor, process, Other, {undef, _}} = next().

spawn_link_4(Node) ->
    process_flag(trap_exit, true),
    Good = spawn_link(Node, ml_worker, info, []),
    {'EXIT', Good, normal} = next(),
    Bad = spawn_link(Node, ml_worker, no_such, []),
    {'EXIT', Bad, {undef, _}} = next().

spawn_request_replies(Node) ->
    Request = spawn_request(Node, ml_worker, info, [], [monitor]),
    {spawn_reply, Request, ok, Pid} = next(),
    {'DOWN', Request, process, Pid, normal} = next(),
    Tagged = spawn_request(Node, ml_worker, info, [], [{reply_tag, mine}]),
    {mine, Tagged, ok, _} = next(),
    Silent = spawn_request(Node, ml_worker, info, [], [{reply, no}, monitor]),
    {'DOWN', Silent, process, _, normal} = next(),
    Abandoned = spawn_request(Node, ml_worker, info, [], [monitor]),
    _ = spawn_request_abandon(Abandoned),
    pong = net_adm:ping(Node).

spawn_monitor_tag(Node) ->
    Request = spawn_request(Node, ml_worker, info, [], [{monitor, [{tag, mine}]}]),
    {spawn_reply, Request, ok, Pid} = next(),
    {mine, Request, process, Pid, normal} = next().

spawn_opt_link_and_monitor(Node) ->
    process_flag(trap_exit, true),
    {Pid, Monitor} = spawn_opt(Node, ml_worker, info, [], [link, monitor, {priority, high}]),
    [{'EXIT', Pid, normal}, {'DOWN', Monitor, process, Pid, normal}] = lists:sort([next(), next()]).

monitor_of_a_name(Node) ->
    Monitor = monitor(process, {no_such_name, Node}),
    {'DOWN', Monitor, process, {no_such_name, Node}, noproc} = next(),
    %% Servers of ours are there, and stay.
    Rex = monitor(process, {rex, Node}),
    none = next_within(200),
    true = demonitor(Rex, [flush]).

monitor_of_a_dead_pid(Node) ->
    Pid = spawn(Node, ml_worker, no_such, []),
    eventually_dead(Pid),
    Monitor = monitor(process, Pid),
    {'DOWN', Monitor, process, Pid, noproc} = next().

eventually_dead(Pid) ->
    Monitor = monitor(process, Pid),
    {'DOWN', Monitor, process, Pid, _} = next().

monitor_of_a_live_pid(Node) ->
    {Pid, _} = a_live_process(Node),
    Mine = monitor(process, Pid),
    Aliased = monitor(process, Pid, [{alias, explicit_unalias}, {tag, mine}]),
    true = exit(Pid, reason),
    {'DOWN', Mine, process, Pid, reason} = next_matching(fun(M) -> element(2, M) =:= Mine end),
    {mine, Aliased, process, Pid, reason} = next_matching(fun(M) -> element(2, M) =:= Aliased end).

demonitor_of_a_live_pid(Node) ->
    {Pid, Monitor} = a_live_process(Node),
    Mine = monitor(process, Pid),
    true = demonitor(Mine, [flush]),
    true = demonitor(Monitor, [flush]),
    true = exit(Pid, kill),
    none = next_within(200).

%% More than a table of fixed size would hold, from more than one process.
many_monitors(Node) ->
    {Pid, _} = a_live_process(Node),
    Self = self(),
    Watchers = [spawn_link(fun() ->
        Monitor = monitor(process, Pid),
        Self ! {watching, self()},
        {'DOWN', Monitor, process, Pid, killed} = next(),
        Self ! {told, self()}
    end) || _ <- lists:seq(1, 50)],
    [receive {watching, W} -> ok end || W <- Watchers],
    pong = net_adm:ping(Node),
    true = exit(Pid, kill),
    [receive {told, W} -> ok end || W <- Watchers].

link_to_a_dead_pid(Node) ->
    process_flag(trap_exit, true),
    Pid = spawn(Node, ml_worker, no_such, []),
    eventually_dead(Pid),
    true = link(Pid),
    {'EXIT', Pid, noproc} = next().

link_to_a_live_pid(Node) ->
    process_flag(trap_exit, true),
    {Pid, _} = a_live_process(Node),
    true = link(Pid),
    true = exit(Pid, reason),
    {'EXIT', Pid, reason} = next_matching(fun(M) -> element(1, M) =:= 'EXIT' end).

unlink_of_a_live_pid(Node) ->
    process_flag(trap_exit, true),
    {Pid, Monitor} = a_live_process(Node),
    [begin true = link(Pid), true = unlink(Pid) end || _ <- lists:seq(1, 10)],
    true = link(Pid),
    true = unlink(Pid),
    true = exit(Pid, kill),
    {'DOWN', Monitor, process, Pid, killed} = next(),
    none = next_within(200).

exit_signals(Node) ->
    [begin
        {Pid, Monitor} = a_live_process(Node),
        true = exit(Pid, Sent),
        {'DOWN', Monitor, process, Pid, Reason} = next()
     end || {Sent, Reason} <- [{kill, killed}, {killed, killed}, {{a, "reason"}, {a, "reason"}},
                               {binary:copy(<<"x">>, 200000), binary:copy(<<"x">>, 200000)}]].

exit_normal_is_ignored(Node) ->
    {Pid, Monitor} = a_live_process(Node),
    true = exit(Pid, normal),
    none = next_within(200),
    true = exit(Pid, kill),
    {'DOWN', Monitor, process, Pid, killed} = next().

a_linked_caller_ends_its_call(Node) ->
    Self = self(),
    Caller = spawn(fun() ->
        Pid = spawn_link(Node, ml_worker, encode, long_work()),
        Self ! {pid, Pid},
        receive stop -> exit(stopped) end
    end),
    Pid = receive {pid, P} -> P end,
    Monitor = monitor(process, Pid),
    Caller ! stop,
    {'DOWN', Monitor, process, Pid, stopped} = next().

%% Each makes the connection that it needs, as a message does.
signals_connect(Node) ->
    process_flag(trap_exit, true),
    Pid = spawn(Node, ml_worker, no_such, []),
    eventually_dead(Pid),
    Disconnected = fun() -> true = erlang:disconnect_node(Node) end,
    Disconnected(),
    true = link(Pid),
    {'EXIT', Pid, noproc} = next(),
    Disconnected(),
    Monitor = monitor(process, Pid),
    {'DOWN', Monitor, process, Pid, noproc} = next(),
    Disconnected(),
    Named = monitor(process, {no_such_name, Node}),
    {'DOWN', Named, process, {no_such_name, Node}, noproc} = next(),
    Disconnected(),
    true = exit(Pid, kill),
    true = group_leader(self(), Pid),
    {Spawned, Down} = spawn_monitor(Node, ml_worker, info, []),
    {'DOWN', Down, process, Spawned, normal} = next().

%% A reason of megabytes along a link, of exit/2, and echoed by the DOWN and the EXIT it causes.
large_exits_hold_up_no_ping(Node) ->
    process_flag(trap_exit, true),
    Reason = binary:copy(<<"reason ">>, 2000000),
    Self = self(),
    {Exited, Monitor} = a_live_process(Node),
    true = link(Exited),
    Linked = spawn(fun() ->
        Pid = spawn_link(Node, ml_worker, encode, long_work()),
        Self ! {pid, Pid},
        receive stop -> exit(Reason) end
    end),
    Other = receive {pid, P} -> P end,
    OtherMonitor = monitor(process, Other),
    Linked ! stop,
    true = exit(Exited, Reason),
    [pong = net_adm:ping(Node) || _ <- lists:seq(1, 20)],
    [receive Expected -> ok after ?PATIENCE -> error({nothing_came, element(1, Expected)}) end
     || Expected <- [{'DOWN', Monitor, process, Exited, Reason}, {'EXIT', Exited, Reason},
                     {'DOWN', OtherMonitor, process, Other, Reason}]].

%% ---- Messages ------------------------------------------------------------------------------------

sends_are_dropped(Node) ->
    Pid = spawn(Node, ml_worker, info, []),
    Pid ! {a, message},
    {no_such_name, Node} ! {a, message},
    {rex, Node} ! {a, message},
    {net_kernel, Node} ! {a, message},
    ok = gen_server:cast({rex, Node}, anything),
    ok = gen_server:cast({no_such_name, Node}, anything),
    {noproc, _} = exit_reason(fun() -> gen_server:call({no_such_name, Node}, anything, ?PATIENCE) end),
    pong = net_adm:ping(Node).

group_leaders(Node) ->
    {Pid, Monitor} = a_live_process(Node),
    true = group_leader(self(), Pid),
    none = next_within(100),
    true = exit(Pid, kill),
    {'DOWN', Monitor, process, Pid, killed} = next().

%% With a token each message has another operation: the answers are the same, and have its successor,
%% with which the caller goes on; a DOWN has none.
seq_trace_tokens(Node) ->
    process_flag(trap_exit, true),
    traced(Node, fun() -> pong = net_adm:ping(Node) end),
    traced(Node, fun() -> #{api := 1} = rpc:block_call(Node, ml_worker, info, []) end),
    traced(Node, fun() -> spawn(Node, ml_worker, info, []) end),
    traced(Node, fun() ->
        Request = spawn_request(Node, ml_worker, info, [], []),
        {spawn_reply, Request, ok, _} = next()
    end),
    traced(Node, fun() ->
        Pid = spawn_link(Node, ml_worker, info, []),
        {'EXIT', Pid, normal} = next()
    end),
    set_token(),
    #{api := 1} = rpc:call(Node, ml_worker, info, []),
    set_token(),
    #{api := 1} = erpc:call(Node, ml_worker, info, []),
    set_token(),
    {Live, Monitor} = spawn_monitor(Node, ml_worker, encode, long_work()),
    true = link(Live),
    Live ! a_message,
    {no_such_name, Node} ! a_message,
    true = exit(Live, reason),
    [{'EXIT', Live, reason}, {'DOWN', Monitor, process, Live, reason}] = lists:sort([next(), next()]),
    _ = seq_trace:set_token([]),
    pong = net_adm:ping(Node).

set_token() ->
    _ = seq_trace:set_token([]),
    _ = seq_trace:set_token(label, 17),
    _ = seq_trace:set_token(send, true),
    ok.

%% The token came back from the node, later than it went.
traced(Node, Ask) ->
    set_token(),
    {_, _, Before, _, _} = seq_trace:get_token(),
    _ = Ask(),
    {1, 17, Serial, From, Previous} = seq_trace:get_token(),
    true = Node =:= node(From),
    true = Before < Previous andalso Previous < Serial,
    _ = seq_trace:set_token([]).

%% ---- Terms ---------------------------------------------------------------------------------------

%% `undef' echoes its arguments: each kind of term goes there and back.
every_kind_of_term(Node) ->
    Terms = [0, 255, 256, -1, -2147483649, 1 bsl 31, 1 bsl 62, 1 bsl 64, -(1 bsl 64), 1 bsl 2000,
             1.5, -0.0, 1.0e308, 5.0e-324, an_atom, '', 'ÅÄÖ', '日本', list_to_atom(lists:duplicate(255, $x)),
             <<>>, <<"binary">>, <<1:1>>, <<5:7>>, <<"bits", 3:3>>, [], "string", [1 | 2], [a, [b, [c]]],
             {}, {a}, list_to_tuple(lists:seq(1, 300)), #{}, #{a => 1, <<"b">> => [2]},
             maps:from_list([{N, N} || N <- lists:seq(1, 40)]), self(), make_ref(), hd(erlang:ports()),
             fun lists:map/2, fun() -> Node end, fun(X) -> {X, Node} end],
    [{Term, {badrpc, {'EXIT', {undef, [{ml_worker, no_such, [Term], []}]}}}} =
         {Term, rpc:call(Node, ml_worker, no_such, [Term])} || Term <- Terms, small(Term)],
    pong = net_adm:ping(Node).

small(Term) -> erlang:external_size([Term]) < 900.

%% Around the sizes at which something changes: one byte of length, 64 KiB fragments, several.
terms_of_every_size(Node) ->
    Sizes = [0, 1, 254, 255, 256, 65300, 65535, 65536, 65537, 131071, 131072, 131073, 200000, 1000000, 5000000],
    [begin
        Binary = binary:copy(<<"x">>, Size),
        {badrpc, {'EXIT', {undef, [{ml_worker, no_such, Echoed, []}]}}} =
            rpc:call(Node, ml_worker, no_such, [Binary]),
        Echoed = case Size < 1000 of true -> [Binary]; false -> 1 end
     end || Size <- Sizes],
    pong = net_adm:ping(Node).

%% What stands beside the pid in a call of a server comes back with its answer, to the letter: here
%% a term of any kind and size.
echo(Node, Term) ->
    {net_kernel, Node} ! {'$gen_call', {self(), Term}, {is_auth, node()}},
    receive {Echoed, yes} -> Echoed after ?PATIENCE -> error(no_echo) end.

echoes(Node, Terms) -> [{N, Term} = {N, echo(Node, Term)} || {N, Term} <- numbered(Terms)].

numbered(List) -> lists:zip(lists:seq(1, length(List)), List).

%% Large and small maps are of two kinds, many long binaries make a long vector of buffers.
large_terms(Node) ->
    echoes(Node, [
        maps:from_list([{N, integer_to_binary(N)} || N <- lists:seq(1, 20000)]),
        maps:from_list([{{N, a}, #{N => [1.5 * N]}} || N <- lists:seq(1, 33)]),
        lists:foldl(fun(N, Inner) -> #{N => Inner} end, #{}, lists:seq(1, 100)),
        [binary:copy(<<N>>, 100) || N <- lists:seq(1, 100000)],
        [<<N:17>> || N <- lists:seq(1, 50000)],
        lists:seq(1, 500000), list_to_tuple(lists:seq(1, 300000)), lists:duplicate(70000, $x),
        [self(), make_ref(), hd(erlang:ports()) | binary:copy(<<"improper">>, 1000000)],
        1 bsl 1000000, lists:duplicate(3000, fun lists:map/2), fun() -> binary:copy(<<"x">>, 100000) end]),
    pong = net_adm:ping(Node).

%% Of each length, of characters of 1 to 4 bytes.
atoms(Node) ->
    Atom = fun(Length, Character) ->
        binary_to_atom(unicode:characters_to_binary(lists:duplicate(Length, Character)))
    end,
    [echoes(Node, [[Atom(Length, Character) || Length <- lists:seq(1, 255)]])
     || Character <- [$a, 16#FC, 16#20AC, 16#1F600]],
    echoes(Node, ['', true, '\0', 'with space']).

%% More atoms than a cache of a connection has places, from more processes than one.
contended_atoms(Node) ->
    Self = self(),
    Senders = [spawn_link(fun() ->
        [echoes(Node, [[list_to_atom(lists:concat(["contended ", Sender, " ", Round, " ", N])) || N <- lists:seq(1, 40)]])
         || Round <- lists:seq(1, 60)],
        Self ! {done, self()}
    end) || Sender <- lists:seq(1, 8)],
    [receive {done, Sender} -> ok end || Sender <- Senders].

%% While the connection is being made its flags are not known, and a node hopes for the best: what it
%% encoded must arrive as what it was, large or small, to a name, to a pid or as a request to spawn.
hopeful_data_encoding(Node) ->
    Pid = spawn(Node, ml_worker, no_such, []),
    [begin
        true = erlang:disconnect_node(Node),
        echoes(Node, [Term]),
        true = erlang:disconnect_node(Node),
        Pid ! Term,
        echoes(Node, [Term]),
        true = erlang:disconnect_node(Node),
        {badrpc, {'EXIT', {undef, [{ml_worker, no_such, Said, []}]}}} = rpc:call(Node, ml_worker, no_such, [Term]),
        true = Said =:= [Term] orelse Said =:= 1
     end || Term <- [<<1:1>>, fun lists:map/2, [<<5:3>>, fun erlang:node/0, an_atom, #{<<1:1>> => 1.5}],
                     [{<<N:15>>, fun lists:map/2, binary:copy(<<N>>, 70)} || N <- lists:seq(1, 20000)]]].

bulk_send(Node) ->
    [begin
        Sent = [{N, binary:copy(<<N>>, Bytes)} || N <- lists:seq(1, Count)],
        [{net_kernel, Node} ! {'$gen_call', {self(), Term}, {is_auth, node()}} || Term <- Sent],
        Sent = lists:sort([receive {Term, yes} -> Term after ?PATIENCE -> error(no_echo) end || _ <- Sent])
     end || {Count, Bytes} <- [{64, 32768}, {32, 65536}, {160, 4096}, {1000, 1}, {20, 1000000}]].

%% ---- Many at once --------------------------------------------------------------------------------

%% Answers of one's own calls in the order of the calls' ends; each to the call it belongs to.
order_of_answers(Node) ->
    Requests = [{N, erpc:send_request(Node, ml_worker, no_such, [N])} || N <- lists:seq(1, 500)],
    [{N, {error, {exception, undef, [{ml_worker, no_such, [N], []}]}}} =
         {N, class(fun() -> erpc:receive_response(Request, ?PATIENCE) end)} || {N, Request} <- Requests].

many_callers(Node) ->
    Self = self(),
    Callers = [spawn_link(fun() ->
        [#{api := 1} = rpc:call(Node, ml_worker, info, []) || _ <- lists:seq(1, 20)],
        Self ! {done, self()}
    end) || _ <- lists:seq(1, 50)],
    [receive {done, Caller} -> ok end || Caller <- Callers].

%% ---- Help ----------------------------------------------------------------------------------------

absent(Node) ->
    [_, Host] = string:split(atom_to_list(Node), "@"),
    list_to_atom("there_is_no_such_node@" ++ Host).

%% Texts that no cache knows: work for seconds, which whoever asks for it takes back.
long_work() ->
    Salt = integer_to_binary(erlang:unique_integer([positive])),
    Name = atom_to_binary(node()),
    [[<<Name/binary, Salt/binary, " words of text number ", (integer_to_binary(N))/binary>>
      || N <- lists:seq(1, 3000)], default].

a_live_process(Node) -> spawn_monitor(Node, ml_worker, encode, long_work()).

class(Fun) ->
    try {value, Fun()}
    catch Class:Reason -> {Class, Reason}
    end.

exit_reason(Fun) ->
    {exit, Reason} = class(Fun),
    Reason.

next() -> receive Message -> Message after ?PATIENCE -> error(nothing_came) end.

next_within(Time) -> receive Message -> Message after Time -> none end.

next_matching(Matches) ->
    Message = next(),
    case Matches(Message) of
        true -> Message;
        false -> next_matching(Matches)
    end.
