%% @doc What OTP's own suites ask of a node, as black-box cases: dist_core's from this release, each a
%% case of its own (releases_SUITE runs them from others), and those that stop, kill or start workers,
%% or speak the protocol by hand. docs/PROTOCOL.md says which case of OTP's is which of ours.
-module(conformance_SUITE).

-compile([export_all, nowarn_export_all]).

-include_lib("stdlib/include/assert.hrl").

-define(PATIENCE, 20000).
-define(MANDATORY_25_DIGEST, 16#4000000).

suite() -> [{timetrap, {minutes, 2}}].

all() ->
    dist_core:cases() ++
        [
            timeouts_against_a_stopped_worker, signals_to_a_busy_port, a_worker_killed_in_mid_call,
            pids_of_an_earlier_life, missing_flags, the_digest_of_mandatory_flags,
            a_front_that_does_not_shake_hands, both_dial_and_ours_goes_on, both_dial_and_theirs_goes_on,
            both_dial_and_ours_is_up, ours_comes_first
        ].

init_per_suite(Config) ->
    ok = e2e:start_distribution(ct_conformance),
    Worker = e2e:start_worker(worker),
    [{worker, Worker}, {node, e2e:node_of(Worker)} | Config].

end_per_suite(Config) ->
    ok = e2e:stop(proplists:get_value(worker, Config)),
    e2e:stop_distribution().

ping(Config) -> core(Config, ?FUNCTION_NAME).
ping_again_and_again(Config) -> core(Config, ?FUNCTION_NAME).
hidden_node(Config) -> core(Config, ?FUNCTION_NAME).
monitor_nodes(Config) -> core(Config, ?FUNCTION_NAME).
monitor_node(Config) -> core(Config, ?FUNCTION_NAME).
rpc_call(Config) -> core(Config, ?FUNCTION_NAME).
rpc_errors(Config) -> core(Config, ?FUNCTION_NAME).
rpc_async(Config) -> core(Config, ?FUNCTION_NAME).
rpc_multicall(Config) -> core(Config, ?FUNCTION_NAME).
rpc_cast(Config) -> core(Config, ?FUNCTION_NAME).
rpc_block_call(Config) -> core(Config, ?FUNCTION_NAME).
rpc_timeout(Config) -> core(Config, ?FUNCTION_NAME).
erpc_call(Config) -> core(Config, ?FUNCTION_NAME).
erpc_errors(Config) -> core(Config, ?FUNCTION_NAME).
erpc_timeout(Config) -> core(Config, ?FUNCTION_NAME).
erpc_requests(Config) -> core(Config, ?FUNCTION_NAME).
erpc_request_ids(Config) -> core(Config, ?FUNCTION_NAME).
erpc_multicall(Config) -> core(Config, ?FUNCTION_NAME).
erpc_multicall_timeout(Config) -> core(Config, ?FUNCTION_NAME).
erpc_cast(Config) -> core(Config, ?FUNCTION_NAME).
spawn_4(Config) -> core(Config, ?FUNCTION_NAME).
spawn_monitor_4(Config) -> core(Config, ?FUNCTION_NAME).
spawn_link_4(Config) -> core(Config, ?FUNCTION_NAME).
spawn_request_replies(Config) -> core(Config, ?FUNCTION_NAME).
spawn_monitor_tag(Config) -> core(Config, ?FUNCTION_NAME).
spawn_opt_link_and_monitor(Config) -> core(Config, ?FUNCTION_NAME).
monitor_of_a_name(Config) -> core(Config, ?FUNCTION_NAME).
monitor_of_a_dead_pid(Config) -> core(Config, ?FUNCTION_NAME).
monitor_of_a_live_pid(Config) -> core(Config, ?FUNCTION_NAME).
demonitor_of_a_live_pid(Config) -> core(Config, ?FUNCTION_NAME).
many_monitors(Config) -> core(Config, ?FUNCTION_NAME).
link_to_a_dead_pid(Config) -> core(Config, ?FUNCTION_NAME).
link_to_a_live_pid(Config) -> core(Config, ?FUNCTION_NAME).
unlink_of_a_live_pid(Config) -> core(Config, ?FUNCTION_NAME).
exit_signals(Config) -> core(Config, ?FUNCTION_NAME).
exit_normal_is_ignored(Config) -> core(Config, ?FUNCTION_NAME).
a_linked_caller_ends_its_call(Config) -> core(Config, ?FUNCTION_NAME).
signals_connect(Config) -> core(Config, ?FUNCTION_NAME).
large_exits_hold_up_no_ping(Config) -> core(Config, ?FUNCTION_NAME).
sends_are_dropped(Config) -> core(Config, ?FUNCTION_NAME).
group_leaders(Config) -> core(Config, ?FUNCTION_NAME).
seq_trace_tokens(Config) -> core(Config, ?FUNCTION_NAME).
every_kind_of_term(Config) -> core(Config, ?FUNCTION_NAME).
terms_of_every_size(Config) -> core(Config, ?FUNCTION_NAME).
large_terms(Config) -> core(Config, ?FUNCTION_NAME).
atoms(Config) -> core(Config, ?FUNCTION_NAME).
contended_atoms(Config) -> core(Config, ?FUNCTION_NAME).
hopeful_data_encoding(Config) -> core(Config, ?FUNCTION_NAME).
bulk_send(Config) -> core(Config, ?FUNCTION_NAME).
order_of_answers(Config) -> core(Config, ?FUNCTION_NAME).
many_callers(Config) -> core(Config, ?FUNCTION_NAME).
reconnects(Config) -> core(Config, ?FUNCTION_NAME).

core(Config, Case) -> ?assertEqual(ok, dist_core:run_case(Case, node_of(Config))).

node_of(Config) -> proplists:get_value(node, Config).

%% Every way to wait for an answer ends in time, also where the request itself does not get through,
%% and what comes later disturbs nobody.
timeouts_against_a_stopped_worker(Config) ->
    Node = node_of(Config),
    pong = net_adm:ping(Node),
    Request = fun() -> erpc:send_request(Node, ml_worker, info, []) end,
    Waits = [
        fun(Ms) -> ?assertEqual({badrpc, timeout}, rpc:call(Node, ml_worker, info, [], Ms)) end,
        fun(Ms) -> ?assertEqual({badrpc, timeout}, rpc:block_call(Node, ml_worker, info, [], Ms)) end,
        fun(Ms) -> ?assertError({erpc, timeout}, erpc:call(Node, ml_worker, info, [], Ms)) end,
        fun(Ms) -> ?assertError({erpc, timeout}, erpc:receive_response(Request(), Ms)) end,
        fun(Ms) -> ?assertEqual(no_response, erpc:wait_response(Request(), Ms)) end,
        fun(Ms) -> ?assertEqual({[], [Node]}, rpc:multicall([Node], ml_worker, info, [], Ms)) end,
        fun(Ms) -> ?assertEqual([{error, {erpc, timeout}}], erpc:multicall([Node], ml_worker, info, [], Ms)) end],
    Worker = proplists:get_value(worker, Config),
    _ = e2e:signal(Worker, "STOP"),
    [begin
        Started = erlang:monotonic_time(millisecond),
        Wait(300),
        Took = erlang:monotonic_time(millisecond) - Started,
        ?assert(Took >= 300 andalso Took < 5000)
     end || Wait <- Waits],
    _ = e2e:signal(Worker, "CONT"),
    #{api := 1} = rpc:call(Node, ml_worker, info, []),
    %% The one whose answer was still wanted.
    {'DOWN', _, process, _, {_, return, #{api := 1}}} = next(),
    ?assertEqual(nothing, receive Stray -> Stray after 300 -> nothing end).

next() -> receive Message -> Message after ?PATIENCE -> error(nothing_came) end.

%% More is sent to a worker that does not read than the port takes: who links, monitors or exits
%% meanwhile waits with it, and all of it arrives.
signals_to_a_busy_port(Config) ->
    Node = node_of(Config),
    process_flag(trap_exit, true),
    [Linked, Exited] = [spawn_monitor(Node, ml_worker, encode, long_work()) || _ <- [linked, exited]],
    Worker = proplists:get_value(worker, Config),
    _ = e2e:signal(Worker, "STOP"),
    Sender = spawn_link(fun() ->
        [{no_such_name, Node} ! binary:copy(<<"x">>, 1000000) || _ <- lists:seq(1, 50)],
        exit(sent)
    end),
    ok = e2e:eventually(fun() -> process_info(Sender, status) =:= {status, suspended} end),
    Self = self(),
    {LinkedPid, LinkedMonitor} = Linked,
    {ExitedPid, ExitedMonitor} = Exited,
    Busy = spawn_link(fun() ->
        true = link(LinkedPid),
        true = exit(ExitedPid, reason),
        true = exit(LinkedPid, kill),
        Self ! {sent, self()},
        timer:sleep(?PATIENCE)
    end),
    timer:sleep(200),
    _ = e2e:signal(Worker, "CONT"),
    [receive Expected -> ok after ?PATIENCE -> error({nothing_came, Expected}) end
     || Expected <- [{'EXIT', Sender, sent}, {sent, Busy}, {'DOWN', ExitedMonitor, process, ExitedPid, reason},
                     {'DOWN', LinkedMonitor, process, LinkedPid, killed}, {'EXIT', Busy, killed}]],
    ?assertEqual(pong, net_adm:ping(Node)).

%% Everybody who waits is told at once.
a_worker_killed_in_mid_call(_) ->
    Worker = e2e:start_worker(worker),
    Node = e2e:node_of(Worker),
    process_flag(trap_exit, true),
    Rex = monitor(process, {rex, Node}),
    Linked = spawn_link(Node, ml_worker, encode, long_work()),
    {Pid, Monitor} = spawn_monitor(Node, ml_worker, encode, long_work()),
    Waiting = [spawn_monitor(fun() -> exit({gave, Wait(Node, long_work())}) end) || Wait <- [
        fun(N, Args) -> rpc:call(N, ml_worker, encode, Args) end,
        fun(N, Args) -> rpc:block_call(N, ml_worker, encode, Args) end,
        fun(N, Args) -> rpc:multicall([N], ml_worker, encode, Args) end,
        fun(N, Args) -> erpc:multicall([N], ml_worker, encode, Args) end,
        fun(N, Args) -> catch erpc:call(N, ml_worker, encode, Args) end]],
    ok = e2e:eventually(fun() ->
        #{calls := #{pending := Pending}} = rpc:call(Node, ml_worker, info, []),
        Pending >= 2 + length(Waiting)
    end),
    ok = e2e:stop(Worker),
    Gave = [receive {'DOWN', M, process, P, {gave, Answer}} -> Answer after ?PATIENCE -> nothing end
            || {P, M} <- Waiting],
    ?assertMatch([{badrpc, nodedown}, {badrpc, nodedown}, {[], [Node]}, [{error, {erpc, noconnection}}],
                  {'EXIT', {{erpc, noconnection}, _}}], Gave),
    [receive Expected -> ok after ?PATIENCE -> error({nothing_came, Expected}) end
     || Expected <- [{'DOWN', Rex, process, {rex, Node}, noconnection}, {'EXIT', Linked, noconnection},
                     {'DOWN', Monitor, process, Pid, noconnection}]],
    ?assertEqual({badrpc, nodedown}, rpc:call(Node, ml_worker, info, [])).

%% A worker of the same name has another creation: pids of the one before are nobody's, also where the
%% number is one that it has given again.
pids_of_an_earlier_life(_) ->
    First = e2e:start_worker(worker),
    Node = e2e:node_of(First),
    process_flag(trap_exit, true),
    Old = spawn(Node, ml_worker, info, []),
    ok = e2e:stop(First),
    Second = e2e:start_worker_as(Node, []),
    {Live, LiveMonitor} = spawn_monitor(Node, ml_worker, encode, long_work()),
    ?assertNotEqual(Old, Live),
    Monitor = monitor(process, Old),
    ?assertEqual({'DOWN', Monitor, process, Old, noproc}, next()),
    true = link(Old),
    ?assertEqual({'EXIT', Old, noproc}, next()),
    true = exit(Old, kill),
    Old ! message,
    ?assertEqual(pong, net_adm:ping(Node)),
    true = exit(Live, enough),
    ?assertEqual({'DOWN', LiveMonitor, process, Live, enough}, next()),
    ok = e2e:stop(Second).

%% ---- By hand -------------------------------------------------------------------------------------

missing_flags(Config) ->
    [begin
        Socket = dist_wire:connect(node_of(Config)),
        ok = dist_wire:send_packet(Socket, Name),
        ?assertEqual({ok, <<"snot_allowed">>}, dist_wire:receive_packet(Socket, ?PATIENCE)),
        ?assertEqual({error, closed}, dist_wire:receive_packet(Socket, ?PATIENCE))
     end || Name <- [<<"N", 0:64, 1:32, 3:16, "a@b">>, <<"n", 5:16, 0:32, "a@b">>]].

%% One bit stands for all that OTP 25 demands, as it may come to be the only one.
the_digest_of_mandatory_flags(Config) ->
    Socket = dist_wire:connect(node_of(Config)),
    ok = dist_wire:handshake(Socket, name(), cookie(), ?MANDATORY_25_DIGEST),
    ok = gen_tcp:send(Socket, dist_wire:frame({6, self(), '', net_kernel},
                                              {'$gen_call', {self(), tag}, {is_auth, node()}})),
    ?assertMatch({message, {2, _, _}, {tag, yes}}, dist_wire:next(Socket, ?PATIENCE)),
    gen_tcp:close(Socket).

%% Dialled by a worker: given up in time, and dialled again.
a_front_that_does_not_shake_hands(_) ->
    {Front, Listening, Epmd} = published("silent"),
    Worker = e2e:start_worker(worker, ["--join", Front, "--handshake-timeout", "1"]),
    Sockets = [accepted(Listening) || _ <- [1, 2]],
    ok = e2e:await_log(Worker, <<"timed out">>, ?PATIENCE),
    [gen_tcp:close(Socket) || Socket <- [Listening, Epmd | Sockets]],
    ok = e2e:stop(Worker).

%% The worker dials us and hears nothing; we dial it. The one with the greater name goes on.
both_dial_and_ours_goes_on(_) ->
    ours_and_theirs(fun(Dialling) ->
        ok = dist_wire:send_packet(Dialling, <<"snok">>),
        ?assertEqual({error, closed}, dist_wire:receive_packet(Dialling, ?PATIENCE))
    end).

%% Ours is there before the worker hears of it on its own: it must not take ours for dead, whose calls
%% would be lost.
both_dial_and_ours_is_up(_) ->
    ours_and_theirs(fun(Dialling) ->
        ok = dist_wire:send_packet(Dialling, <<"salive">>),
        ?assertEqual({ok, <<"sfalse">>}, dist_wire:receive_packet(Dialling, ?PATIENCE)),
        ?assertEqual({error, closed}, dist_wire:receive_packet(Dialling, ?PATIENCE)),
        timer:sleep(500)
    end).

%% The worker hears that we dial before it dials: it gives way, once.
ours_comes_first(_) ->
    {Name, Listening, Port} = listening("zz_front"),
    Front = Name ++ "@127.0.0.1",
    Worker = e2e:start_worker(a_worker, ["--join", Front]),
    Ours = dist_wire:connect(e2e:node_of(Worker)),
    ok = dist_wire:send_name(Ours, Front),
    ?assertEqual({ok, <<"sok">>}, dist_wire:receive_packet(Ours, ?PATIENCE)),
    Epmd = dist_wire:publish(Name, Port),
    ?assertEqual({error, closed}, dist_wire:receive_packet(accepted(Listening), ?PATIENCE)),
    Theirs = accepted(Listening),
    ?assertMatch({ok, <<"N", _/binary>>}, dist_wire:receive_packet(Theirs, ?PATIENCE)),
    ok = gen_tcp:close(Theirs),
    ok = dist_wire:prove(Ours, cookie()),
    answers(Ours),
    [gen_tcp:close(Socket) || Socket <- [Listening, Epmd, Ours]],
    ok = e2e:stop(Worker).

%% Both dial; ours is up, and stays so whatever becomes of theirs.
ours_and_theirs(Settle) ->
    {Front, Listening, Epmd} = published("zz_front"),
    Worker = e2e:start_worker(a_worker, ["--join", Front]),
    Dialling = accepted(Listening),
    {ok, <<"N", _/binary>>} = dist_wire:receive_packet(Dialling, ?PATIENCE),
    Ours = dist_wire:connect(e2e:node_of(Worker)),
    ok = dist_wire:send_name(Ours, Front),
    ?assertEqual({ok, <<"sok_simultaneous">>}, dist_wire:receive_packet(Ours, ?PATIENCE)),
    ok = dist_wire:prove(Ours, cookie()),
    answers(Ours),
    ok = Settle(Dialling),
    answers(Ours),
    [gen_tcp:close(Socket) || Socket <- [Listening, Epmd, Dialling, Ours]],
    ok = e2e:stop(Worker).

both_dial_and_theirs_goes_on(_) ->
    {Front, Listening, Epmd} = published("a_front"),
    Worker = e2e:start_worker(worker, ["--join", Front]),
    Dialling = accepted(Listening),
    {ok, <<"N", _Flags:64, _Creation:32, _/binary>>} = dist_wire:receive_packet(Dialling, ?PATIENCE),
    Ours = dist_wire:connect(e2e:node_of(Worker)),
    ok = dist_wire:send_name(Ours, Front),
    ?assertEqual({ok, <<"snok">>}, dist_wire:receive_packet(Ours, ?PATIENCE)),
    ?assertEqual({error, closed}, dist_wire:receive_packet(Ours, ?PATIENCE)),
    ok = dist_wire:challenge(Dialling, Front, cookie()),
    answers(Dialling),
    [gen_tcp:close(Socket) || Socket <- [Listening, Epmd, Dialling, Ours]],
    ok = e2e:stop(Worker).

answers(Socket) ->
    ok = gen_tcp:send(Socket, dist_wire:frame({6, self(), '', net_kernel},
                                              {'$gen_call', {self(), tag}, {is_auth, node()}})),
    ?assertMatch({message, {2, _, _}, {tag, yes}}, dist_wire:next(Socket, ?PATIENCE)).

%% A name in epmd that is ours, what listens there, and the connection that keeps it.
published(Word) ->
    {Name, Listening, Port} = listening(Word),
    {Name ++ "@127.0.0.1", Listening, dist_wire:publish(Name, Port)}.

listening(Word) ->
    {ok, Listening} = gen_tcp:listen(0, [binary, {ip, {127, 0, 0, 1}}, {active, false}]),
    {ok, Port} = inet:port(Listening),
    {e2e:unique(Word), Listening, Port}.

accepted(Listening) ->
    {ok, Socket} = gen_tcp:accept(Listening, ?PATIENCE),
    Socket.

name() -> e2e:unique(by_hand) ++ "@127.0.0.1".

cookie() -> atom_to_list(erlang:get_cookie()).

long_work() -> dist_core:long_work().
