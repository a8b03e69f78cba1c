%% @doc What the end-to-end suites share: real workers as operating-system processes, real Erlang
%% peers, the live reference. Everything runs on 127.0.0.1.
-module(e2e).

-export([root/0, later_releases/0, start_distribution/1, stop_distribution/0]).
-export([start_worker/1, start_worker/2, start_worker_as/2, as_worker/2, node_of/1, os_pid/1]).
-export([spawn_program/2, spawn_program/3]).
-export([signal/2, await_exit/1, await_exit/2, await_log/3, log/1, stop/1]).
-export([start_peer/1, stop_peer/1, start_front/1, worker_state/2, await_state/3]).
-export([small_models/0, small_models/1, reference/1, largest_difference/2, run/2, run/3]).
-export([kill_epmd/0, free_port/0, eventually/1, eventually/2, unique/1]).

-define(READY_TIMEOUT, 60000).

-type program() :: #{holder := pid(), node := node() | undefined}.
-export_type([program/0]).

%% @doc The checkout: the nearest folder above this test that has scripts/setup.
root() -> root(filename:dirname(code:which(?MODULE))).

root(Folder) ->
    case filelib:is_regular(filename:join([Folder, "scripts", "setup"])) of
        true -> Folder;
        false when Folder =/= "/" -> root(filename:dirname(Folder))
    end.

%% @doc The releases of OTP besides ours: whatever needs 27 fails without it; 29 is the one that set-up
%% may not get, which is said.
later_releases() ->
    There = filelib:is_regular(filename:join([root(), ".deps", "stamps", "otp29"])),
    There orelse io:format(user, "OTP 29: NOT RUN, set-up could not get it~n", []),
    [otp27 | [otp29 || There]].

%% @doc Makes this VM a node NAME@127.0.0.1 with a random cookie, epmd included.
start_distribution(Name) ->
    application:set_env(kernel, inet_dist_use_interface, {127, 0, 0, 1}),
    _ = os:cmd("epmd -daemon"),
    ok = eventually(fun() -> element(1, erl_epmd:names({127, 0, 0, 1})) =:= ok end),
    {ok, _} = net_kernel:start([list_to_atom(unique(Name) ++ "@127.0.0.1"), longnames]),
    Cookie = binary_to_atom(binary:encode_hex(crypto:strong_rand_bytes(16))),
    true = erlang:set_cookie(node(), Cookie),
    ok.

stop_distribution() -> net_kernel:stop().

%% @doc A name that no other run of the tests on this machine uses.
unique(Name) -> lists:concat([Name, "_", os:getpid(), "_", erlang:unique_integer([positive])]).

%% @doc Starts build/ml_worker with the real model and waits until it says that it is ready.
start_worker(Name) -> start_worker(Name, []).

start_worker(Name, Arguments) ->
    start_worker_as(list_to_atom(unique(Name) ++ "@127.0.0.1"), Arguments).

%% @doc As start_worker/2, under a name that was used before.
start_worker_as(Node, Arguments) ->
    {Options, Environment} = as_worker(Node, "127.0.0.1"),
    Program = spawn_program(Options ++ Arguments, Environment),
    ok = await_log(Program, <<"ready">>, ?READY_TIMEOUT),
    Program#{node := Node}.

%% @doc What makes the program a worker of our cluster: arguments and environment.
as_worker(Node, Address) ->
    {["--name", atom_to_list(Node), "--listen", Address, "--stop-with-stdin"],
     [{"ML_WORKER_COOKIE", atom_to_list(erlang:get_cookie())}]}.

%% @doc Starts build/ml_worker with these arguments and environment; does not wait.
spawn_program(Arguments, Environment) ->
    spawn_program(filename:join([root(), "build", "ml_worker"]), Arguments, Environment).

%% @doc The same for another program.
spawn_program(Program, Arguments, Environment) ->
    Self = self(),
    Holder = spawn(fun() -> hold(Self, Program, Arguments, Environment) end),
    receive
        {Holder, started} -> #{holder => Holder, node => undefined}
    after 10000 -> error(program_not_started)
    end.

node_of(#{node := Node}) -> Node.
os_pid(#{holder := Holder}) -> ask(Holder, os_pid).

%% @doc signal(Program, "KILL").
signal(Program, Signal) -> os:cmd(lists:concat(["kill -", Signal, " ", os_pid(Program)])).

%% @doc Waits for the end of the program; its exit status (128 + signal when killed) and its log.
await_exit(Program) -> await_exit(Program, 30000).
await_exit(#{holder := Holder}, Timeout) -> ask(Holder, await_exit, Timeout).

await_log(#{holder := Holder}, Text, Timeout) -> ask(Holder, {await_log, Text}, Timeout).
log(#{holder := Holder}) -> ask(Holder, log).

%% @doc Ends a worker whatever its state.
stop(Program) ->
    _ = signal(Program, "CONT"),
    _ = signal(Program, "KILL"),
    _ = await_exit(Program),
    ok.

ask(Holder, Question) -> ask(Holder, Question, 10000).
ask(Holder, Question, Timeout) ->
    Reference = make_ref(),
    Holder ! {ask, self(), Reference, Question},
    receive
        {Reference, Answer} -> Answer
    after Timeout -> error({no_answer, Question, partial_log(Holder)})
    end.

partial_log(Holder) ->
    Reference = make_ref(),
    Holder ! {ask, self(), Reference, log},
    receive
        {Reference, Log} -> Log
    after 1000 -> unknown
    end.

hold(Parent, Program, Arguments, Environment) ->
    process_flag(trap_exit, true),
    Port = open_port(
        {spawn_executable, os:find_executable(Program)},
        [{args, Arguments}, {env, Environment}, binary, stderr_to_stdout, exit_status]
    ),
    {os_pid, Pid} = erlang:port_info(Port, os_pid),
    Parent ! {self(), started},
    hold_loop(#{port => Port, os_pid => Pid, log => <<>>, status => undefined, waiting => []}).

hold_loop(State) ->
    Answered = answer_waiting(State),
    #{port := Port, log := Log, waiting := Waiting} = Answered,
    receive
        {Port, {data, Data}} ->
            hold_loop(Answered#{log := <<Log/binary, Data/binary>>});
        {Port, {exit_status, Status}} ->
            hold_loop(Answered#{status := Status});
        {ask, From, Reference, Question} ->
            hold_loop(Answered#{waiting := [{From, Reference, Question} | Waiting]});
        {'EXIT', Port, _} ->
            hold_loop(Answered)
    end.

answer_waiting(#{waiting := Waiting} = State) ->
    State#{waiting := [W || W <- Waiting, not answer(W, State)]}.

answer({From, Reference, Question}, State) ->
    case try_answer(Question, State) of
        later -> false;
        {answer, Answer} -> From ! {Reference, Answer}, true
    end.

try_answer(os_pid, #{os_pid := Pid}) -> {answer, Pid};
try_answer(log, #{log := Log}) -> {answer, Log};
try_answer(await_exit, #{status := undefined}) -> later;
try_answer(await_exit, #{status := Status, log := Log}) -> {answer, {Status, Log}};
try_answer({await_log, Text}, #{log := Log, status := Status}) ->
    case binary:match(Log, Text) of
        nomatch when Status =:= undefined -> later;
        nomatch -> {answer, {ended, Status, Log}};
        _ -> {answer, ok}
    end.

%% @doc Another real Erlang node with our cookie, hidden or not as `Options' of peer say.
start_peer(Name) ->
    {ok, Peer, Node} = peer:start(#{
        name => unique(Name), host => "127.0.0.1", longnames => true, connection => standard_io,
        args => ["-setcookie", atom_to_list(erlang:get_cookie()),
                 "-kernel", "inet_dist_use_interface", "{127,0,0,1}"]
    }),
    {Peer, Node}.

stop_peer({Peer, _Node}) -> peer:stop(Peer).

%% @doc Another node with the application ml_cluster running in it, with this environment.
start_front(Environment) ->
    {Peer, Node} = start_peer(front),
    ok = rpc:call(Node, code, add_paths, [code:get_path()]),
    [ok = rpc:call(Node, application, set_env, [ml_cluster, Key, Value]) || {Key, Value} <- Environment],
    {ok, _} = rpc:call(Node, application, ensure_all_started, [ml_cluster]),
    {Peer, Node}.

%% @doc What a front says of a worker.
worker_state(Front, Worker) ->
    [State] = [W || #{node := Node} = W <- erpc:call(Front, ml_cluster, workers, []), Node =:= Worker],
    State.

%% @doc Waits until a front has a worker in one of these states.
await_state(Front, Worker, States) ->
    eventually(fun() ->
        #{state := State} = Row = worker_state(Front, Worker),
        lists:member(State, States) orelse maps:with([state, reason], Row)
    end, 60000).

%% @doc The folder of the models of random weights, made if they are not there.
small_models() ->
    {0, _} = small_models([]),
    small_models_folder().

%% @doc Runs small_models.py on that folder with further arguments: {ExitStatus, Output}.
small_models(Arguments) ->
    Python = filename:join([root(), ".deps", "reference", "bin", "python"]),
    Script = filename:join([root(), "test", "e2e", "small_models.py"]),
    run(Python, [Script, small_models_folder() | Arguments], 240000).

small_models_folder() -> filename:join([root(), "build", "small-models"]).

%% @doc The vectors that live sentence-transformers gives for these texts.
reference(Texts) ->
    Python = filename:join([root(), ".deps", "reference", "bin", "python"]),
    Script = filename:join([root(), "test", "e2e", "reference.py"]),
    File = filename:join("/tmp", unique("e2e_reference")),
    ok = file:write_file(File, jiffy:encode(Texts)),
    {0, Output} = run(Python, [Script, File], 300000),
    ok = file:delete(File),
    jiffy:decode(lists:last(binary:split(Output, <<"\n">>, [global, trim]))).

largest_difference(Vectors, Others) ->
    lists:max([abs(A - B) || {V, O} <- lists:zip(Vectors, Others), {A, B} <- lists:zip(V, O)]).

%% @doc Runs a program to its end: {ExitStatus, Output}.
run(Program, Arguments) -> run(Program, Arguments, 60000).

run(Program, Arguments, Timeout) ->
    Port = open_port(
        {spawn_executable, os:find_executable(Program)},
        [{args, Arguments}, binary, stderr_to_stdout, exit_status, {cd, root()}]
    ),
    collect(Port, <<>>, Timeout).

collect(Port, Output, Timeout) ->
    receive
        {Port, {data, Data}} -> collect(Port, <<Output/binary, Data/binary>>, Timeout);
        {Port, {exit_status, Status}} -> {Status, Output}
    after Timeout -> error({still_running, Output})
    end.

%% @doc Kills the epmd of our port (scripts/run_tests.py gives the suites one of their own), and
%% no other.
kill_epmd() ->
    Port = os:getenv("ERL_EPMD_PORT", "4369"),
    Listens = fun(Pid) ->
        case file:read_file("/proc/" ++ Pid ++ "/environ") of
            {ok, Environment} ->
                Set = [V || <<"ERL_EPMD_PORT=", V/binary>> <- binary:split(Environment, <<0>>, [global])],
                lists:member(list_to_binary(Port), Set ++ [<<"4369">> || Set =:= []]);
            {error, _} ->
                false  % another's, which has ended meanwhile
        end
    end,
    [Pid] = [P || P <- string:lexemes(os:cmd("pgrep -x epmd"), "\n"), Listens(P)],
    "" = os:cmd("kill -9 " ++ Pid),
    ok.

free_port() ->
    {ok, Socket} = gen_tcp:listen(0, [{ip, {127, 0, 0, 1}}]),
    {ok, Port} = inet:port(Socket),
    ok = gen_tcp:close(Socket),
    Port.

%% @doc Tries until Fun gives true; what is expected soon, but not at a known moment.
eventually(Fun) -> eventually(Fun, 20000).

eventually(Fun, Timeout) -> eventually_until(Fun, erlang:monotonic_time(millisecond) + Timeout).

eventually_until(Fun, Deadline) ->
    case Fun() of
        true ->
            ok;
        Other ->
            erlang:monotonic_time(millisecond) < Deadline orelse error({never, Other}),
            timer:sleep(50),
            eventually_until(Fun, Deadline)
    end.
