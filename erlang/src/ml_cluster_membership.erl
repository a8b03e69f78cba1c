%% @doc Which nodes are workers: configured ones, those that the epmd of a configured host names,
%% those that connect (hidden ones too) under one of the prefixes, and those added at run time.
%% Each gets a state machine of its own, which finds out whether it is a worker of ours.
-module(ml_cluster_membership).
-behaviour(gen_server).

-export([start_link/0, add/1, add_local/1, remove/1]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2]).

-define(HOSTS_INTERVAL, 5000).
%% A host that is down leaves a connection to its epmd unanswered for minutes.
-define(HOST_TIMEOUT, 4000).

-record(state, {
    prefixes :: [binary()],
    limit :: pos_integer(),
    %% Asking the epmd of a dead host blocks: a helper for each host, or one would hold up the others.
    searches = #{} :: #{reference() => string()}
}).

-spec start_link() -> gen_server:start_ret().
start_link() -> gen_server:start_link({local, ?MODULE}, ?MODULE, [], []).

%% @doc Makes a node a worker, also one that was removed before.
-spec add(node()) -> ok | {error, too_many_workers}.
add(Node) -> gen_server:call(?MODULE, {add, Node, remote}).

%% @doc Makes a node the local worker, which is asked only when no other one is left.
-spec add_local(node()) -> ok | {error, too_many_workers}.
add_local(Node) -> gen_server:call(?MODULE, {add, Node, local}).

%% @doc Forgets a worker until it is added again; its prefix does not bring it back.
-spec remove(node()) -> ok | {error, not_found}.
remove(Node) -> gen_server:call(?MODULE, {remove, Node}).

-spec init([]) -> {ok, #state{}}.
init([]) ->
    %% Hidden nodes are announced only to those who ask for all types.
    ok = net_kernel:monitor_nodes(true, [{node_type, all}]),
    #{workers := Limit} = ml_cluster_config:get(limits),
    State = #state{
        prefixes = ml_cluster_config:get(prefixes),
        limit = Limit
    },
    %% After a crash of ours the table still knows who was there.
    lists:foreach(fun(#{node := N, role := Role}) -> start(N, Role) end, ml_cluster_table:rows()),
    lists:foreach(fun(Node) -> start(Node, remote) end, ml_cluster_config:get(workers)),
    lists:foreach(fun(Node) -> discovered(Node, State) end, nodes(connected)),
    {ok, lists:foldl(fun search/2, State, ml_cluster_config:get(hosts))}.

-spec handle_call(term(), gen_server:from(), #state{}) -> {reply, term(), #state{}}.
handle_call({add, Node, Role}, _From, State) ->
    true = ml_cluster_table:unban(Node),
    {reply, add(Node, Role, State), State};
handle_call({remove, Node}, _From, State) ->
    {reply, stop(Node), State};
handle_call(_, _From, State) ->
    {reply, {error, unknown_request}, State}.

-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast(_, State) -> {noreply, State}.

-spec handle_info(term(), #state{}) -> {noreply, #state{}}.
handle_info({nodeup, Node, _}, State) ->
    discovered(Node, State),
    ok = ml_cluster_worker:node_up(Node),
    {noreply, State};
handle_info({search, Host}, State) ->
    {noreply, search(Host, State)};
handle_info({'DOWN', Ref, process, _, Exit}, #state{searches = Searches} = State) when
    is_map_key(Ref, Searches)
->
    {Host, Left} = maps:take(Ref, Searches),
    admit_found(Exit, Host, State),
    _ = erlang:send_after(?HOSTS_INTERVAL, self(), {search, Host}),
    {noreply, State#state{searches = Left}};
handle_info(_, State) ->
    {noreply, State}.

%% ---- Finding ----

search(Host, #state{prefixes = Prefixes, searches = Searches} = State) ->
    {_, Ref} = spawn_monitor(fun() ->
        %% Not by us: it must end when we have.
        {ok, _} = timer:kill_after(?HOST_TIMEOUT),
        exit({found, names_on(Host, Prefixes)})
    end),
    State#state{searches = Searches#{Ref => Host}}.

%% Runs in a helper. Names stay text here.
names_on(Host, Prefixes) ->
    case erl_epmd:names(Host) of
        {ok, Names} -> [Name || {Name, _Port} <- Names, wanted(Name, Prefixes)];
        {error, _} -> []
    end.

wanted(Name, Prefixes) -> ml_cluster_names:matches(Name, Prefixes).

admit_found({found, Names}, Host, State) ->
    lists:foreach(fun(Name) -> found(Host, Name, State) end, Names);
admit_found(_, _, _) ->
    ok.

%% The bound on workers is also the bound on atoms made of foreign names.
found(Host, Name, #state{limit = Limit} = State) ->
    case ml_cluster_table:count() < Limit of
        true -> discovered(ml_cluster_names:on_host(Name, Host), State);
        false -> ok
    end.

discovered(error, _) ->
    ok;
discovered({ok, Node}, State) ->
    discovered(Node, State);
discovered(Node, #state{prefixes = Prefixes} = State) ->
    Wanted =
        Node =/= node() andalso
            ml_cluster_names:matches(Node, Prefixes) andalso
            not ml_cluster_table:is_banned(Node),
    _ = Wanted andalso not is_known(Node) andalso admit(Node, remote, State),
    ok.

%% ---- Starting and stopping state machines ----

%% Only who adds a worker by name ends its draining; that it is seen again doesn't.
add(Node, Role, State) ->
    case is_known(Node) of
        true -> ml_cluster_worker:resume(Node);
        false -> admit(Node, Role, State)
    end.

admit(Node, Role, #state{limit = Limit}) ->
    case ml_cluster_table:count() < Limit of
        true -> start(Node, Role);
        false -> {error, too_many_workers}
    end.

is_known(Node) -> ml_cluster_table:row(Node) =/= error.

start(Node, Role) ->
    case has_process(Node) of
        true ->
            ok;
        false ->
            {ok, _} = ml_cluster_worker_sup:start_worker(Node, Role),
            ok
    end.

has_process(Node) ->
    case ml_cluster_table:process(Node) of
        {ok, Pid} -> is_process_alive(Pid);
        error -> false
    end.

stop(Node) ->
    case ml_cluster_table:process(Node) of
        {ok, Pid} ->
            true = ml_cluster_table:ban(Node),
            _ = ml_cluster_worker_sup:stop_worker(Pid),
            ok = ml_cluster_table:forget(Node),
            removed(Node);
        error ->
            {error, not_found}
    end.

removed(Node) ->
    ok = ml_cluster_log:write(notice, worker_removed, #{node => Node}),
    ml_cluster_event:emit(
        [worker, removed], #{system_time => erlang:system_time()}, #{node => Node}
    ).
