%% What the balancer sees of the workers. Kept in a persistent term: every request reads it without
%% copying it and without asking a process; it is replaced only when a worker comes or goes.

%% A worker that takes calls. `gauges' are those of ml_cluster_gauges; `opts' are the option names that
%% the worker's info/0 names.
-record(member, {
    node :: node(),
    role = remote :: remote | local,
    gauges :: ml_cluster_gauges:gauges(),
    opts = #{} :: #{binary() => []}
}).

%% The local worker is apart: it is asked only when no remote one is left. `by_node' has the remote
%% ones; `owners' is {} unless the strategy is consistent.
-record(snapshot, {
    remote = {} :: tuple(),
    local = {} :: tuple(),
    by_node = #{} :: #{node() => #member{}},
    owners = {} :: ml_cluster_rendezvous:owners()
}).
