%% @doc One worker as the front sees it. States: `connecting' (being reached and asked who it is),
%% `up' (takes calls), `draining' (takes none, what runs may end), `resting' (down, foreign or
%% failing; tried again after a while that doubles each time).
%%
%% A connection says little: a hung worker keeps its connection. So a worker that is up is probed;
%% one that leaves a probe unanswered for `suspect_after_ms' is cut off, which fails all calls that
%% wait for it at once, and those move to other workers.
-module(ml_cluster_worker).
-behaviour(gen_statem).

-export([start_link/1, drain/1, resume/1, node_up/1, trip/2, says_draining/1]).
-export([init/1, callback_mode/0, terminate/3]).
-export([connecting/3, up/3, draining/3, resting/3]).

-define(CONNECT_TIMEOUT, 45000).
-define(PROBE_INTERVAL, 500).
-define(HEALTH_INTERVAL, 5000).
-define(REST_MIN, 250).
-define(REST_MAX, 30000).
%% A worker may answer health/0 by a result of the last 5 s: one that fails calls is not asked again
%% before its answer is about the time after it failed.
-define(REST_FAILING, 6000).
%% How long a worker must have been up for its earlier failures to be forgotten.
-define(STEADY, 30000).

-record(data, {
    node :: node(),
    role :: remote | local,
    gauges :: ml_cluster_gauges:gauges(),
    info = #{} :: map(),
    reason = none :: term(),
    %% Asked for by the operator, so that it outlasts a lost connection.
    drain = false :: boolean(),
    rests = 0 :: non_neg_integer(),
    since = 0 :: integer(),
    %% In native units: when the state was entered.
    entered :: integer(),
    monitored = false :: boolean(),
    helpers = #{} :: #{ml_cluster_probe:question() => ml_cluster_probe:helper()}
}).

%% @doc Starts the state machine of a worker.
-spec start_link(#{node := node(), role := remote | local}) -> gen_statem:start_ret().
start_link(Args) ->
    gen_statem:start_link(?MODULE, Args, []).

%% @doc No new calls for this worker, until resume/1.
-spec drain(node()) -> ok.
drain(Node) -> cast(Node, drain).

%% @doc Ends drain/1.
-spec resume(node()) -> ok.
resume(Node) -> cast(Node, resume).

%% @doc A connection to the node came up, from either side.
-spec node_up(node()) -> ok.
node_up(Node) -> cast(Node, node_up).

%% @doc Calls to the worker failed one after the other while other workers answered them.
-spec trip(node(), term()) -> ok.
trip(Node, Reason) -> cast(Node, {trip, Reason}).

%% @doc The worker refused a call because it is draining.
-spec says_draining(node()) -> ok.
says_draining(Node) -> cast(Node, says_draining).

cast(Node, Message) ->
    case ml_cluster_table:process(Node) of
        {ok, Pid} -> gen_statem:cast(Pid, Message);
        error -> ok
    end.

-spec callback_mode() -> gen_statem:callback_mode_result().
callback_mode() -> [state_functions, state_enter].

-spec init(map()) -> gen_statem:init_result(connecting).
init(#{node := Node, role := Role}) ->
    true = ml_cluster_table:set_process(Node, self()),
    Data = #data{
        node = Node, role = Role, gauges = gauges(Node), entered = erlang:monotonic_time()
    },
    %% Here too: whoever starts us counts rows, and the state is entered only after that.
    ok = publish(connecting, Data),
    {ok, connecting, Data}.

%% Calls that began under an earlier incarnation still count down in its gauges.
gauges(Node) ->
    case ml_cluster_table:row(Node) of
        {ok, #{gauges := Gauges}} -> Gauges;
        error -> ml_cluster_gauges:new()
    end.

-spec terminate(term(), atom(), #data{}) -> ok.
terminate(_, _, Data) ->
    _ = stop_helpers(Data),
    ok.

%% ---- connecting ----

-spec connecting(gen_statem:event_type() | enter, term(), #data{}) ->
    gen_statem:state_enter_result(connecting) | gen_statem:event_handler_result(atom()).
connecting(enter, Old, Data) ->
    ok = publish(connecting, Data),
    ok = ml_cluster_log:write(debug, worker_connecting, #{node => Data#data.node}),
    {keep_state, ask(connect, tell(connecting, Old, Data)),
        {state_timeout, ?CONNECT_TIMEOUT, no_answer}};
connecting(state_timeout, no_answer, Data) ->
    rest(no_answer, Data);
connecting(info, {'DOWN', Ref, process, _, Exit}, Data) ->
    case answer(Ref, Exit, Data) of
        {connect, {ok, Info}, Data1} -> introduced(Data1#data{info = Info});
        {connect, {foreign, Reason}, Data1} -> rest({foreign, Reason}, Data1);
        {connect, {error, draining}, Data1} -> {next_state, draining, Data1};
        {connect, {error, Reason}, Data1} -> rest(Reason, Data1);
        none -> keep_state_and_data
    end;
connecting(cast, Message, Data) ->
    remember(Message, Data);
connecting(info, _, _) ->
    keep_state_and_data.

introduced(#data{drain = true} = Data) ->
    {next_state, draining, Data};
introduced(Data) ->
    {next_state, up, Data#data{reason = none, since = now_ms()}}.

%% ---- up ----

-spec up(gen_statem:event_type() | enter, term(), #data{}) ->
    gen_statem:state_enter_result(up) | gen_statem:event_handler_result(atom()).
up(enter, Old, #data{node = Node, gauges = Gauges} = Data) ->
    ok = ml_cluster_gauges:set_load(Gauges, 0),
    ok = ml_cluster_gauges:reset_failures(Gauges),
    ok = publish(up, Data),
    ok = ml_cluster_log:write(notice, worker_up, #{node => Node}),
    {keep_state, watch(tell(up, Old, Data)), [after_ms(probe, 0), after_ms(health, ?HEALTH_INTERVAL)]};
up(info, {'DOWN', Ref, process, _, Exit}, Data) ->
    case answer(Ref, Exit, Data) of
        {load, {error, draining}, Data1} -> {next_state, draining, Data1};
        {_, {error, {unhealthy, _} = Reason}, Data1} -> rest(Reason, Data1);
        {health, {error, Reason}, Data1} -> unwell(Reason, Data1);
        {load, Answer, Data1} -> loaded(Answer, Data1);
        {health, _, Data1} -> {keep_state, Data1, after_ms(health, ?HEALTH_INTERVAL)};
        none -> keep_state_and_data
    end;
up(cast, {trip, Reason}, Data) ->
    rest({failing, Reason}, Data);
up(cast, says_draining, Data) ->
    {next_state, draining, Data};
up(cast, drain, Data) ->
    {next_state, draining, Data#data{drain = true}};
up(cast, Message, Data) ->
    remember(Message, Data);
up(Type, Event, Data) ->
    connected(Type, Event, Data).

%% Being busy is not being ill.
unwell({overloaded, _}, Data) -> {keep_state, Data, after_ms(health, ?HEALTH_INTERVAL)};
unwell(draining, Data) -> {next_state, draining, Data};
unwell(Reason, Data) -> rest(Reason, Data).

%% ---- draining ----

-spec draining(gen_statem:event_type() | enter, term(), #data{}) ->
    gen_statem:state_enter_result(draining) | gen_statem:event_handler_result(atom()).
draining(enter, Old, #data{node = Node} = Data) ->
    ok = publish(draining, Data),
    ok = ml_cluster_log:write(notice, worker_draining, #{node => Node}),
    {keep_state, watch(tell(draining, Old, Data)), [after_ms(probe, ?PROBE_INTERVAL), cancel(health)]};
draining(info, {'DOWN', Ref, process, _, Exit}, #data{drain = Asked} = Data) ->
    case answer(Ref, Exit, Data) of
        {load, {load, _}, Data1} when not Asked -> introduced(Data1);
        {load, Answer, Data1} -> loaded(Answer, Data1);
        {_, _, Data1} -> {keep_state, Data1};
        none -> keep_state_and_data
    end;
draining(cast, resume, Data) ->
    {next_state, connecting, leave(Data#data{drain = false}), cancel_all()};
draining(cast, Message, Data) ->
    remember(Message, Data);
draining(Type, Event, Data) ->
    connected(Type, Event, Data).

%% ---- up and draining: what holds while there is a connection ----

connected({timeout, probe}, _, Data) ->
    Silence = {{timeout, silent}, ml_cluster_config:get(suspect_after_ms), silent},
    {keep_state, ask(load, Data), Silence};
connected({timeout, health}, _, #data{info = Info} = Data) ->
    case ml_cluster_info:names_function(health, Info) of
        true -> {keep_state, ask(health, Data)};
        false -> keep_state_and_data
    end;
connected({timeout, silent}, _, Data) ->
    rest(silent, Data);
connected(info, {nodedown, Node}, #data{node = Node} = Data) ->
    rest(connection_lost, Data);
connected(info, _, _) ->
    keep_state_and_data.

loaded(Answer, #data{gauges = Gauges} = Data) ->
    ok = ml_cluster_gauges:set_load(Gauges, load_of(Answer)),
    {keep_state, forgive(Data), [cancel(silent), after_ms(probe, ?PROBE_INTERVAL)]}.

%% A worker that raises instead of telling its load would refuse work: never the least loaded.
load_of({load, Seconds}) -> Seconds;
load_of(_) -> 1.0e9.

forgive(#data{since = Since, rests = Rests} = Data) when Rests > 0 ->
    case now_ms() - Since > ?STEADY of
        true -> Data#data{rests = 0};
        false -> Data
    end;
forgive(Data) ->
    Data.

%% ---- resting ----

-spec resting(gen_statem:event_type() | enter, term(), #data{}) ->
    gen_statem:state_enter_result(resting) | gen_statem:event_handler_result(atom()).
resting(enter, Old, #data{node = Node, reason = Reason, rests = Rests} = Data) ->
    %% First out of the snapshot, then cut off: no call may be sent to it again in between.
    ok = publish(resting, Data),
    _ = Reason =:= silent andalso spawn(erlang, disconnect_node, [Node]),
    ok = ml_cluster_log:write(level(Old, Rests), worker_resting, #{node => Node, reason => Reason}),
    {keep_state, tell(resting, Old, Data),
        {state_timeout, rest_ms(Reason, Rests), try_again}};
resting(state_timeout, try_again, Data) ->
    {next_state, connecting, Data};
resting(cast, node_up, #data{reason = {failing, _}}) ->
    %% That it is connected is no news about why it rests.
    keep_state_and_data;
resting(cast, node_up, Data) ->
    {next_state, connecting, Data};
resting(cast, Message, Data) ->
    remember(Message, Data);
resting(_, _, _) ->
    keep_state_and_data.

%% A worker that stays away is news once.
level(up, _) -> warning;
level(draining, _) -> info;
level(_, Rests) when Rests =< 1 -> notice;
level(_, _) -> debug.

%% The jitter keeps a hundred fronts from knocking at once at a worker that comes back.
rest_ms({foreign, _}, _) ->
    ?REST_MAX;
rest_ms({failing, _}, Rests) ->
    max(?REST_FAILING, rest_ms(none, Rests));
rest_ms(_, Rests) ->
    Base = min(?REST_MAX, ?REST_MIN bsl min(Rests - 1, 10)),
    Base - Base div 4 + rand:uniform(Base div 2).

rest(Reason, Data) ->
    Data1 = leave(Data),
    Rests = Data1#data.rests + 1,
    {next_state, resting, Data1#data{reason = Reason, rests = Rests}, cancel_all()}.

%% ---- Common to the states ----

remember(drain, Data) -> {keep_state, Data#data{drain = true}};
remember(resume, Data) -> {keep_state, Data#data{drain = false}};
remember(_, _) -> keep_state_and_data.

publish(State, #data{node = Node, role = Role, gauges = Gauges, info = Info} = Data) ->
    ml_cluster_table:put(#{
        node => Node,
        role => Role,
        state => State,
        reason => Data#data.reason,
        info => Info,
        gauges => Gauges
    }).

%% Events tell how long the state before was held.
tell(State, From, #data{node = Node, role = Role, reason = Reason, entered = Entered} = Data) ->
    Now = erlang:monotonic_time(),
    ok = ml_cluster_event:emit(
        [worker, State],
        #{system_time => erlang:system_time(), duration => Now - Entered},
        #{node => Node, role => Role, from => From, reason => Reason}
    ),
    Data#data{entered = Now}.

ask(Question, #data{node = Node, helpers = Helpers} = Data) ->
    Data#data{helpers = Helpers#{Question => ml_cluster_probe:start(Question, Node)}}.

answer(Ref, Exit, #data{helpers = Helpers} = Data) ->
    case [Question || {Question, {_, R}} <- maps:to_list(Helpers), R =:= Ref] of
        [Question] ->
            Left = maps:remove(Question, Helpers),
            {Question, ml_cluster_probe:answer(Exit), Data#data{helpers = Left}};
        [] ->
            none
    end.

%% Node monitors are counted by the VM: one per worker, or a loss would be told twice.
watch(#data{monitored = true} = Data) ->
    Data;
watch(#data{node = Node} = Data) ->
    true = erlang:monitor_node(Node, true),
    Data#data{monitored = true}.

leave(#data{node = Node} = Data) ->
    _ = Data#data.monitored andalso erlang:monitor_node(Node, false),
    receive
        {nodedown, Node} -> ok
    after 0 -> ok
    end,
    stop_helpers(Data#data{monitored = false}).

stop_helpers(#data{helpers = Helpers} = Data) ->
    lists:foreach(fun ml_cluster_probe:stop/1, maps:values(Helpers)),
    Data#data{helpers = #{}}.

after_ms(Name, Milliseconds) -> {{timeout, Name}, Milliseconds, Name}.
cancel(Name) -> {{timeout, Name}, cancel}.
cancel_all() -> [cancel(probe), cancel(health), cancel(silent)].

now_ms() -> erlang:monotonic_time(millisecond).
