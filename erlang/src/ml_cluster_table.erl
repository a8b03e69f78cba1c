%% @doc What is known of each worker. Readers use ETS and a persistent term and never ask a
%% process; the table belongs to the supervisor, so that a crash of any of us loses nothing.
%%
%% Rows are written through this process, one after the other. The snapshot is renewed before the
%% row can be read: whoever sees a worker `up' (or no longer) may rely on calls going to it (or not).
-module(ml_cluster_table).
-behaviour(gen_server).

-export([new/0, start_link/0, put/1, forget/1, rows/0, row/1, is_known/1, count/0]).
-export([snapshot/0, up/1, is_local/1]).
-export([set_process/2, process/1]).
-export([ban/1, unban/1, is_banned/1]).
-export([init/1, handle_call/3, handle_cast/2, terminate/2]).
-export_type([row/0, state/0]).

-include("ml_cluster.hrl").

-type state() :: connecting | up | draining | resting.
-type row() :: #{
    node := node(),
    role := remote | local,
    state := state(),
    reason := term(),
    info := map(),
    gauges := ml_cluster_gauges:gauges()
}.

%% @doc Makes the table, owned by the caller.
-spec new() -> ok.
new() ->
    ?MODULE = ets:new(?MODULE, [named_table, public, set, {read_concurrency, true}]),
    ok.

-spec start_link() -> gen_server:start_ret().
start_link() -> gen_server:start_link({local, ?MODULE}, ?MODULE, [], []).

%% @doc Writes a worker's row and renews the snapshot.
-spec put(row()) -> ok.
put(Row) -> gen_server:call(?MODULE, {put, Row}, infinity).

%% @doc Forgets a worker.
-spec forget(node()) -> ok.
forget(Node) ->
    true = ets:delete(?MODULE, {process, Node}),
    gen_server:call(?MODULE, {forget, Node}, infinity).

-spec rows() -> [row()].
rows() ->
    try
        lists:sort(fun by_node/2, [Row || {{worker, _}, Row} <- ets:tab2list(?MODULE)])
    catch
        %% The application is stopped.
        error:badarg -> []
    end.

by_node(#{node := A}, #{node := B}) -> A =< B.

%% @doc How many workers are known, in whatever state.
-spec count() -> non_neg_integer().
count() -> ets:select_count(?MODULE, [{{{worker, '_'}, '_'}, [], [true]}]).

-spec row(node()) -> {ok, row()} | error.
row(Node) ->
    try ets:lookup_element(?MODULE, {worker, Node}, 2) of
        Row -> {ok, Row}
    catch
        error:badarg -> error
    end.

-spec is_known(node()) -> boolean().
is_known(Node) -> has({worker, Node}).

%% @doc What the balancer chooses from.
-spec snapshot() -> #snapshot{}.
snapshot() -> persistent_term:get(?MODULE, #snapshot{}).

%% @doc The nodes that take calls.
-spec up(remote | local) -> [node()].
up(remote) -> [Node || #member{node = Node} <- tuple_to_list((snapshot())#snapshot.remote)];
up(local) -> [Node || #member{node = Node} <- tuple_to_list((snapshot())#snapshot.local)].

%% @doc Is this the local worker, whatever its state? It may have gone right after it answered.
-spec is_local(node()) -> boolean().
is_local(Node) -> ml_cluster_config:get(local_worker, false) =/= false andalso has({local, Node}).

has(Key) ->
    try
        ets:member(?MODULE, Key)
    catch
        %% The application has stopped, perhaps under a call that was still running.
        error:badarg -> false
    end.

%% ---- The worker's own process ----

-spec set_process(node(), pid()) -> true.
set_process(Node, Pid) -> ets:insert(?MODULE, {{process, Node}, Pid}).

-spec process(node()) -> {ok, pid()} | error.
process(Node) ->
    try ets:lookup_element(?MODULE, {process, Node}, 2) of
        Pid -> {ok, Pid}
    catch
        error:badarg -> error
    end.

%% ---- Nodes that the operator removed: not to be found again by themselves ----

-spec ban(node()) -> true.
ban(Node) -> ets:insert(?MODULE, {{banned, Node}, true}).

-spec unban(node()) -> true.
unban(Node) -> ets:delete(?MODULE, {banned, Node}).

-spec is_banned(node()) -> boolean().
is_banned(Node) -> ets:member(?MODULE, {banned, Node}).

%% ---- gen_server ----

-spec init([]) -> {ok, no_state}.
init([]) ->
    process_flag(trap_exit, true),
    publish(rows()),
    {ok, no_state}.

-spec handle_call({put, row()} | {forget, node()}, gen_server:from(), no_state) ->
    {reply, ok, no_state}.
handle_call({put, #{node := Node, role := Role} = Row}, _From, State) ->
    publish(lists:sort(fun by_node/2, [Row | others(Node)])),
    true = ets:insert(?MODULE, [{{worker, Node}, Row} | [{{local, Node}, true} || Role =:= local]]),
    {reply, ok, State};
handle_call({forget, Node}, _From, State) ->
    publish(others(Node)),
    ok = ml_cluster_histogram:forget({worker, Node}),
    true = ets:delete(?MODULE, {local, Node}),
    true = ets:delete(?MODULE, {worker, Node}),
    {reply, ok, State}.

others(Node) -> [Row || #{node := Other} = Row <- rows(), Other =/= Node].

-spec handle_cast(term(), no_state) -> {noreply, no_state}.
handle_cast(_, State) -> {noreply, State}.

-spec terminate(term(), no_state) -> ok.
terminate(_, _) ->
    _ = persistent_term:erase(?MODULE),
    ok.

%% An equal term is not put again: replacing a persistent term costs a collection of every process
%% that holds the old one.
publish(Rows) -> persistent_term:put(?MODULE, snapshot_of(Rows)).

snapshot_of(Rows) ->
    Up = [member(Row) || #{state := up} = Row <- Rows],
    {Remote, Local} = lists:partition(fun(#member{role = Role}) -> Role =:= remote end, Up),
    Strategy = ml_cluster_config:get(strategy, round_robin),
    ml_cluster_balancer:snapshot(Remote, Local, Strategy, snapshot()).

member(#{node := Node, role := Role, gauges := Gauges, info := Info}) ->
    #member{node = Node, role = Role, gauges = Gauges, opts = ml_cluster_info:opts(Info)}.
