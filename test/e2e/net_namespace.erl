%% @doc A worker on a network of its own: another network namespace, reached over one link. With the
%% link taken down packets vanish, both ways, without a word to either end: no reset, no refusal, no
%% end of file, which is what a pulled cable or a lost machine looks like.
%%
%% Needs Linux, iproute2 and the right to make namespaces, which root has and a container may lack.
-module(net_namespace).

-export([is_available/0, start_worker/1, set_link/2]).

%% @doc Whether a namespace and a link into it can be had here.
is_available() ->
    Probe = "unshare --net ip link add mlwprobea type veth peer name mlwprobeb",
    element(1, e2e:run("sh", ["-c", Probe ++ " 2>/dev/null"])) =:= 0.

%% @doc A worker, ready, on a network of its own, epmd included; as e2e:start_worker/1 gives it. What
%% runs in the namespace ends with it, the link too.
start_worker(Arguments) ->
    Pid = list_to_integer(os:getpid()),
    Network = lists:concat(["10.231.", Pid rem 250, "."]),
    {Outside, Inside} = {lists:concat(["mlwa", Pid]), lists:concat(["mlwb", Pid])},
    Address = Network ++ "2",
    Node = list_to_atom(e2e:unique(worker) ++ "@" ++ Address),
    Worker = filename:join([e2e:root(), "build", "ml_worker"]),
    {Options, Environment} = e2e:as_worker(Node, Address),
    Program = e2e:spawn_program(
        "unshare",
        ["--net", "--pid", "--fork", "--kill-child", "sh", "-c", inside(Inside, Address), "sh", Worker]
            ++ Options ++ Arguments,
        [{"ERL_EPMD_ADDRESS", Address} | Environment]
    ),
    ok = e2e:await_log(Program, <<"in its namespace">>, 10000),
    ok = ip(["link add ", Outside, " type veth peer name ", Inside, " netns ",
             integer_to_list(e2e:os_pid(Program))]),
    ok = ip(["addr add ", Network, "1/30 dev ", Outside]),
    ok = ip(["link set ", Outside, " up"]),
    ok = e2e:await_log(Program, <<"ready">>, 60000),
    {Program#{node := Node}, Outside}.

%% @doc up or down.
set_link(Link, State) -> ip(["link set ", Link, " ", State]).

%% Waits for its end of the link, then becomes the worker.
inside(Link, Address) ->
    lists:concat([
        "echo in its namespace; until ip addr add ", Address, "/30 dev ", Link, " 2>/dev/null; do",
        " sleep 0.1; done; ip link set lo up; ip link set ", Link, " up; exec \"$@\""
    ]).

ip(Words) ->
    {0, _} = e2e:run("sh", ["-c", lists:flatten(["ip ", Words])]),
    ok.
