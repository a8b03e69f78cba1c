%% @doc Supervises one state machine per worker.
-module(ml_cluster_worker_sup).
-behaviour(supervisor).

-export([start_link/0, start_worker/2, stop_worker/1]).
-export([init/1]).

-spec start_link() -> supervisor:startlink_ret().
start_link() -> supervisor:start_link({local, ?MODULE}, ?MODULE, []).

%% @doc Starts the state machine of a worker that has none.
-spec start_worker(node(), remote | local) -> supervisor:startchild_ret().
start_worker(Node, Role) ->
    supervisor:start_child(?MODULE, [#{node => Node, role => Role}]).

-spec stop_worker(pid()) -> ok | {error, term()}.
stop_worker(Pid) -> supervisor:terminate_child(?MODULE, Pid).

-spec init([]) -> {ok, {supervisor:sup_flags(), [supervisor:child_spec()]}}.
init([]) ->
    %% Many children: one that fails again and again must not take the others down early.
    Flags = #{strategy => simple_one_for_one, intensity => 100, period => 10},
    Child = #{
        id => ml_cluster_worker,
        start => {ml_cluster_worker, start_link, []},
        restart => permanent,
        shutdown => 1000
    },
    {ok, {Flags, [Child]}}.
