%% What the balancer sees of the workers. Kept in a persistent term: every request reads it without
%% copying it and without asking a process; it is replaced only when a worker comes or goes.

%% A worker that takes calls. `gauges' are atomics that any process reads and writes
%% (ml_cluster_table says which is which); `hash' places the worker for the consistent strategy;
%% `opts' are the option names that the worker's info/0 names.
-record(member, {
    node :: node(),
    role = remote :: remote | local,
    hash :: non_neg_integer(),
    gauges :: atomics:atomics_ref(),
    opts = #{} :: #{binary() => []}
}).

%% The local worker is apart: it is asked only when no remote one is left.
-record(snapshot, {
    remote = {} :: tuple(),
    local = {} :: tuple()
}).
