%% @doc The front: what knows the workers, and beside it what serves HTTP, so that connections
%% outlive a crash in there.
-module(ml_cluster_sup).
-behaviour(supervisor).

-export([start_link/1]).
-export([init/1]).

-spec start_link(ml_cluster_config:config()) -> supervisor:startlink_ret().
start_link(Config) -> supervisor:start_link({local, ?MODULE}, ?MODULE, Config).

-spec init(ml_cluster_config:config()) -> {ok, {supervisor:sup_flags(), [supervisor:child_spec()]}}.
init(Config) ->
    %% Here, so that they outlive every process below.
    ok = ml_cluster_table:new(),
    ok = ml_cluster_histogram:new(),
    Core = #{
        id => ml_cluster_core_sup,
        start => {ml_cluster_core_sup, start_link, [Config]},
        type => supervisor
    },
    {ok, {#{strategy => one_for_one, intensity => 5, period => 30}, [Core | http(Config)]}}.

http(#{http := false}) -> [];
http(#{http := #{adapter := none}}) -> [];
http(#{http := #{adapter := Adapter} = Http, limits := Limits}) -> [Adapter:child_spec(Http, Limits)].
