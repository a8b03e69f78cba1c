%% @doc What knows the workers. Each child leans on those before it: the table's server, the
%% workers' state machines, who starts them, and the local worker's program.
-module(ml_cluster_core_sup).
-behaviour(supervisor).

-export([start_link/1]).
-export([init/1]).

-spec start_link(ml_cluster_config:config()) -> supervisor:startlink_ret().
start_link(Config) -> supervisor:start_link({local, ?MODULE}, ?MODULE, Config).

-spec init(ml_cluster_config:config()) -> {ok, {supervisor:sup_flags(), [supervisor:child_spec()]}}.
init(#{local_worker := Local}) ->
    Children = [
        child(ml_cluster_table, []),
        (child(ml_cluster_worker_sup, []))#{type => supervisor},
        child(ml_cluster_membership, [])
        | local(Local)
    ],
    {ok, {#{strategy => rest_for_one, intensity => 5, period => 30}, Children}}.

local(false) -> [];
local(Config) -> [child(ml_cluster_local, [Config])].

child(Module, Args) -> #{id => Module, start => {Module, start_link, Args}}.
