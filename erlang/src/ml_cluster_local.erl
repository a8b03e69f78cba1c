%% @doc The worker program on this machine: the embedded default, asked only when no other worker
%% is up. This process starts the program, passes its log lines on, and starts it again, later each
%% time, when it ends. The program stops when its standard input closes, so it cannot outlive us,
%% however we end.
-module(ml_cluster_local).
-behaviour(gen_server).

-export([start_link/1, node_name/2]).
-export([init/1, handle_continue/2, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).

-define(BACKOFF_MIN, 500).
-define(BACKOFF_MAX, 30000).
%% A program that ran this long has started well.
-define(STEADY, 60000).
-define(MAX_LINE, 4096).

-record(state, {
    program :: string(),
    args :: [string()],
    node :: node(),
    port = none :: none | port(),
    backoff = ?BACKOFF_MIN :: pos_integer(),
    started = 0 :: integer()
}).

-spec start_link(#{program := string(), args := [string()], name := node() | undefined}) ->
    gen_server:start_ret().
start_link(Config) -> gen_server:start_link({local, ?MODULE}, ?MODULE, Config, []).

%% @doc The local worker's node name: the configured one, else made of the front's.
-spec node_name(node() | undefined, node()) -> node().
node_name(undefined, Front) ->
    Name = "ml_local_" ++ ml_cluster_names:base(Front) ++ "@" ++ ml_cluster_names:host(Front),
    list_to_atom(Name);
node_name(Name, _) ->
    Name.

-spec init(map()) -> {ok, #state{}, {continue, start}}.
init(#{program := Program, args := Args, name := Name}) ->
    process_flag(trap_exit, true),
    Node = node_name(Name, node()),
    ok = ml_cluster_membership:add_local(Node),
    {ok, #state{program = Program, args = Args, node = Node}, {continue, start}}.

-spec handle_call(term(), gen_server:from(), #state{}) -> {reply, {error, term()}, #state{}}.
handle_call(_, _From, State) -> {reply, {error, unknown_request}, State}.

-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast(_, State) -> {noreply, State}.

-spec handle_info(term(), #state{}) -> {noreply, #state{}}.
handle_info(start, State) ->
    {noreply, start(State)};
handle_info({Port, {data, {_, Line}}}, #state{port = Port} = State) ->
    ok = ml_cluster_log:write(info, local_line, #{line => printable(Line)}),
    {noreply, State};
handle_info({Port, {exit_status, Status}}, #state{port = Port} = State) ->
    {noreply, ended(Status, State)};
handle_info(_, State) ->
    {noreply, State}.

-spec handle_continue(start, #state{}) -> {noreply, #state{}}.
handle_continue(start, State) -> {noreply, start(State)}.

%% Closing the port closes the program's standard input.
-spec terminate(term(), #state{}) -> ok.
terminate(_, #state{port = none}) ->
    ok;
terminate(_, #state{port = Port}) ->
    try
        true = port_close(Port),
        ok
    catch
        %% The program has just ended by itself.
        error:badarg -> ok
    end.

start(State) ->
    Started = State#state{started = erlang:monotonic_time(millisecond)},
    try
        Started#state{port = open(State)}
    catch
        %% The program was there when the configuration was checked, and may be again.
        error:Posix -> ended(Posix, Started)
    end.

open(#state{program = Program} = State) ->
    open_port({spawn_executable, Program}, [
        {args, arguments(State)},
        %% Never on the command line, which every user of the machine can read.
        {env, [{"ML_WORKER_COOKIE", atom_to_list(erlang:get_cookie())}]},
        {line, ?MAX_LINE},
        binary,
        exit_status,
        stderr_to_stdout
    ]).

arguments(#state{node = Node, args = Args}) ->
    [name_option(net_kernel:longnames()), atom_to_list(Node), "--stop-with-stdin" | Args].

name_option(true) -> "--name";
name_option(_) -> "--sname".

ended(Status, #state{program = Program, backoff = Backoff, started = Started} = State) ->
    Delay =
        case erlang:monotonic_time(millisecond) - Started > ?STEADY of
            true -> ?BACKOFF_MIN;
            false -> Backoff
        end,
    ok = ml_cluster_log:write(warning, local_ended, #{
        program => Program, status => Status, again_ms => Delay
    }),
    _ = erlang:send_after(Delay, self(), start),
    State#state{port = none, backoff = min(2 * Delay, ?BACKOFF_MAX)}.

%% The program's bytes go to a log that people read in a terminal.
printable(Line) ->
    case unicode:characters_to_list(Line) of
        Text when is_list(Text) -> [C || C <- Text, C >= $\s, C =/= 127];
        _ -> [C || <<C>> <= Line, C >= $\s, C < 127]
    end.
