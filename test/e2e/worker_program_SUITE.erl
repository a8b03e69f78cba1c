%% @doc The worker as a program: what it says and how it ends, for whoever starts it.
-module(worker_program_SUITE).

-compile([export_all, nowarn_export_all]).

-include_lib("stdlib/include/assert.hrl").

-define(COOKIE, [{"ML_WORKER_COOKIE", "irrelevant"}]).

suite() -> [{timetrap, {minutes, 3}}].

all() ->
    [
        help_and_version, wrong_option, wrong_name, missing_cookie, readable_cookie, cookie_file,
        cookie_not_in_proc, name_taken, ends_while_its_name_is_taken, no_epmd, no_model, broken_model, wrong_model_name,
        unsupported_device, config_file, wrong_config_file, check, says_who_can_reach_it,
        short_names, drains_on_sigterm, refuses_while_draining,
        loses_no_call_when_it_stops, ends_before_it_is_ready,
        stops_with_stdin, json_log,
        listen_port_taken, keeps_large_allocations
    ].

init_per_suite(Config) ->
    ok = e2e:start_distribution(ct_program),
    Config.

end_per_suite(_Config) -> e2e:stop_distribution().

%% Runs the program to its end: its exit status is Status, and its output has all of Texts in it.
ends(Status, Arguments, Environment, Texts) ->
    {Got, Output} = e2e:await_exit(e2e:spawn_program(Arguments, Environment)),
    ?assertEqual({Status, Output}, {Got, Output}),
    [?assertNotEqual({nomatch, Text, Output}, {find(Output, Text), Text, Output}) || Text <- Texts],
    Output.

find(Output, Text) ->
    case binary:match(Output, list_to_binary(Text)) of
        nomatch -> nomatch;
        _ -> found
    end.

name() -> e2e:unique(worker) ++ "@127.0.0.1".

help_and_version(_) ->
    _ = ends(0, ["--help"], [], ["--name", "--sname", "--cookie-file", "--config", "--models-root",
                                 "--join", "--check", "--log-format", "--device", "--dtype"]),
    _ = ends(0, ["--version"], [], ["0.1.0"]).

wrong_option(_) ->
    _ = ends(64, ["--name", name(), "--frobnicate"], ?COOKIE, ["--frobnicate"]),
    _ = ends(64, ["--name", name(), "--max-texts", "many"], ?COOKIE, ["--max-texts"]),
    _ = ends(64, [], ?COOKIE, ["--name"]).

wrong_name(_) ->
    [ends(64, ["--name", Name], ?COOKIE, []) ||
        Name <- ["w@hostwithoutdot", "@127.0.0.1", "w@", "a@b@c.d", "w x@127.0.0.1", "w\n@127.0.0.1"]],
    [ends(64, ["--sname", Name], ?COOKIE, []) || Name <- ["w@host.with.dot"]].

missing_cookie(Config) ->
    Home = proplists:get_value(priv_dir, Config),
    _ = ends(77, ["--name", name()], [{"HOME", Home}], [".erlang.cookie"]),
    _ = ends(77, ["--name", name(), "--cookie-file", "/nonexistent"], [], ["/nonexistent"]),
    _ = ends(77, ["--name", name()], [{"ML_WORKER_COOKIE", "\n"}], ["empty"]).

readable_cookie(Config) ->
    File = cookie_file(Config, 8#644),
    _ = ends(77, ["--name", name(), "--cookie-file", File], [], [File, "0400"]).

cookie_file(Config, Mode) ->
    File = filename:join(proplists:get_value(priv_dir, Config), e2e:unique("cookie")),
    ok = file:write_file(File, [atom_to_list(erlang:get_cookie()), "\n"]),
    ok = file:change_mode(File, Mode),
    File.

cookie_file(Config) ->
    Name = name(),
    Worker = start(Name, ["--cookie-file", cookie_file(Config, 8#400)], []),
    ?assertEqual(pong, net_adm:ping(list_to_atom(Name))),
    e2e:stop(Worker).

cookie_not_in_proc(_) ->
    Worker = e2e:start_worker(worker),
    Cookie = atom_to_binary(erlang:get_cookie()),
    {ok, CommandLine} = file:read_file(lists:concat(["/proc/", e2e:os_pid(Worker), "/cmdline"])),
    ?assertEqual(nomatch, binary:match(CommandLine, Cookie)),
    {ok, Environment} = file:read_file(lists:concat(["/proc/", e2e:os_pid(Worker), "/environ"])),
    ?assertNotEqual(<<>>, Environment),
    ?assertEqual(nomatch, binary:match(Environment, Cookie)),
    ?assertEqual(nomatch, binary:match(e2e:log(Worker), Cookie)),
    e2e:stop(Worker).

name_taken(_) ->
    Worker = e2e:start_worker(worker),
    Name = atom_to_list(e2e:node_of(Worker)),
    [Taken, _] = string:split(Name, "@"),
    _ = ends(73, ["--name", Name, "--listen", "127.0.0.1"], ?COOKIE, [Taken]),
    ?assertEqual(pong, net_adm:ping(e2e:node_of(Worker))),
    e2e:stop(Worker).

%% Told to stop while it waits for its name to be free: that is no failure.
ends_while_its_name_is_taken(_) ->
    First = e2e:start_worker(worker),
    Second = e2e:spawn_program(["--name", atom_to_list(e2e:node_of(First)), "--listen", "127.0.0.1"], ?COOKIE),
    ok = e2e:await_log(Second, <<"model loaded">>, 60000),
    timer:sleep(1000),
    _ = e2e:signal(Second, "TERM"),
    {Status, Log} = e2e:await_exit(Second, 5000),
    ?assertEqual({0, Log}, {Status, Log}),
    ?assertEqual(nomatch, find(Log, "ready")),
    ?assertEqual(pong, net_adm:ping(e2e:node_of(First))),
    e2e:stop(First).

no_epmd(_) ->
    Port = integer_to_list(e2e:free_port()),
    _ = ends(69, ["--name", name(), "--no-start-epmd", "--listen", "127.0.0.1"],
             [{"ERL_EPMD_PORT", Port} | ?COOKIE], ["epmd"]),
    %% Without that option it starts one, as erl does.
    Worker = start(name(), ["--listen", "127.0.0.1"], [{"ERL_EPMD_PORT", Port} | ?COOKIE]),
    ?assertNotEqual(nomatch, string:find(os:cmd("epmd -port " ++ Port ++ " -names"), "name worker")),
    e2e:stop(Worker),
    _ = os:cmd("epmd -port " ++ Port ++ " -relaxed_command_check -kill").

no_model(Config) ->
    Empty = proplists:get_value(priv_dir, Config),
    _ = ends(65, ["--name", name(), "--models-root", Empty], ?COOKIE, ["all-MiniLM-L6-v2"]),
    _ = ends(65, ["--name", name(), "--model", "no-such-model"], ?COOKIE, ["no-such-model"]).

broken_model(Config) ->
    Root = filename:join(proplists:get_value(priv_dir, Config), "broken"),
    Model = filename:join(Root, "all-MiniLM-L6-v2"),
    ok = filelib:ensure_path(Root),
    _ = os:cmd(lists:concat(["cp -r ", e2e:root(), "/models/all-MiniLM-L6-v2 ", Model])),
    Weights = filename:join(Model, "model.safetensors"),
    {ok, Whole} = file:read_file(Weights),
    Broken = fun(File, Bytes, Texts) ->
        {ok, Before} = file:read_file(filename:join(Model, File)),
        ok = file:write_file(filename:join(Model, File), Bytes),
        Output = ends(65, ["--name", name(), "--models-root", Root], ?COOKIE, Texts),
        ok = file:write_file(filename:join(Model, File), Before),
        Output
    end,
    _ = Broken("model.safetensors", binary:part(Whole, 0, byte_size(Whole) div 2), ["model.safetensors"]),
    _ = Broken("model.safetensors", <<>>, ["model.safetensors"]),
    _ = Broken("model.safetensors", <<16#ffffffffffffffff:64, 0>>, ["model.safetensors"]),
    _ = Broken("config.json", <<"{">>, ["config.json"]),
    _ = Broken("config.json", <<"{\"model_type\": \"llama\"}">>, ["llama"]),
    _ = Broken("tokenizer.json", <<"{}">>, ["tokenizer"]),
    _ = Broken("modules.json", <<"[{\"idx\":0,\"name\":\"0\",\"path\":\"\",\"type\":\"os.system\"}]">>,
               ["os.system"]).

wrong_model_name(_) ->
    _ = ends(65, ["--name", name(), "--model", "../../etc/passwd"], ?COOKIE, ["model name"]).

unsupported_device(_) ->
    _ = ends(64, ["--name", name(), "--device", "tpu"], ?COOKIE, ["tpu"]),
    %% The suites hide what GPUs there are (scripts/run_tests.py).
    _ = ends(64, ["--name", name(), "--device", "cuda:0"], ?COOKIE, ["device 'cuda'", "driver"]),
    _ = ends(64, ["--name", name(), "--device-replicas", "0"], ?COOKIE, ["--device-replicas"]),
    _ = ends(64, ["--name", name(), "--device-memory", "-1"], ?COOKIE, ["--device-memory"]).

config_file(Config) ->
    Name = name(),
    File = json_file(Config, #{name => list_to_binary(Name), listen => <<"127.0.0.1">>,
                               'max-texts' => 2, 'log-format' => <<"json">>}),
    Cookie = [{"ML_WORKER_COOKIE", atom_to_list(erlang:get_cookie())}],
    Worker = start(Name, [], ["--config", File], Cookie),
    Node = list_to_atom(Name),
    ?assertMatch({badrpc, {'EXIT', {{too_large, _, 3, 2}, _}}},
                 rpc:call(Node, ml_worker, encode, [[<<"a">>, <<"b">>, <<"c">>], default])),
    e2e:stop(Worker).

wrong_config_file(Config) ->
    Name = list_to_binary(name()),
    _ = ends(64, ["--config", json_file(Config, #{name => Name, colour => 1})], ?COOKIE, ["colour"]),
    _ = ends(64, ["--config", json_file(Config, #{name => Name, 'max-texts' => <<"5">>})], ?COOKIE,
             ["max-texts", "number"]),
    _ = ends(64, ["--config", "/nonexistent.json"], ?COOKIE, ["/nonexistent.json"]).

json_file(Config, Content) ->
    File = filename:join(proplists:get_value(priv_dir, Config), e2e:unique("config") ++ ".json"),
    ok = file:write_file(File, jiffy:encode(Content)),
    File.

check(_) -> ends(0, ["--check"], [], ["all-MiniLM-L6-v2: ok", "384 dimensions", "model_id"]).

says_who_can_reach_it(_) ->
    Worker = e2e:start_worker(worker),
    ?assertEqual(found, find(e2e:log(Worker), "-name")),
    e2e:stop(Worker).

short_names(_) ->
    Name = e2e:unique(worker) ++ "@localhost",
    Cookie = atom_to_list(erlang:get_cookie()),
    Worker = e2e:spawn_program(
        ["--sname", Name, "--listen", "127.0.0.1"], [{"ML_WORKER_COOKIE", Cookie}]),
    ok = e2e:await_log(Worker, <<"ready">>, 60000),
    Code = lists:concat(["io:format(\"~p\", [net_adm:ping('", Name, "')]), halt()."]),
    {0, Output} = e2e:run("erl", ["-sname", e2e:unique(peer) ++ "@localhost", "-setcookie", Cookie,
                                  "-noinput", "-eval", Code]),
    ?assertEqual(<<"pong">>, Output),
    e2e:stop(Worker).

drains_on_sigterm(_) ->
    Worker = e2e:start_worker(worker),
    Node = e2e:node_of(Worker),
    [Name, _] = string:split(atom_to_list(Node), "@"),
    Busy = erpc:send_request(Node, ml_worker, encode, [texts(800), default, #{format => binary}]),
    e2e:eventually(fun() -> rpc:call(Node, ml_worker, get_load, []) > 0.1 end),
    _ = e2e:signal(Worker, "TERM"),
    #{embeddings := Vectors} = erpc:receive_response(Busy, 120000),
    ?assertEqual(800, length(Vectors)),
    {Status, _} = e2e:await_exit(Worker),
    ?assertEqual(0, Status),
    {ok, Names} = erl_epmd:names({127, 0, 0, 1}),
    ?assertNot(lists:keymember(Name, 1, Names)).

refuses_while_draining(_) ->
    Worker = e2e:start_worker(worker),
    Node = e2e:node_of(Worker),
    Busy = erpc:send_request(Node, ml_worker, encode, [texts(1500), default, #{format => binary}]),
    e2e:eventually(fun() -> rpc:call(Node, ml_worker, get_load, []) > 0.1 end),
    _ = e2e:signal(Worker, "TERM"),
    e2e:eventually(fun() ->
        is_draining(rpc:call(Node, ml_worker, encode, [[<<"new">>], default]))
    end),
    ?assert(is_draining(rpc:call(Node, ml_worker, get_load, []))),
    #{embeddings := _} = erpc:receive_response(Busy, 120000),
    ?assertMatch({0, _}, e2e:await_exit(Worker)).

%% With nothing to drain it would be gone before its peers know: what they have sent by then is
%% refused, and not lost with the connection.
loses_no_call_when_it_stops(_) ->
    Worker = e2e:start_worker(worker),
    Node = e2e:node_of(Worker),
    pong = net_adm:ping(Node),
    _ = e2e:signal(Worker, "TERM"),
    ?assert(is_draining(first_that_fails(Node))),
    ?assertMatch({0, _}, e2e:await_exit(Worker)).

ends_before_it_is_ready(_) ->
    Worker = e2e:spawn_program(["--name", name(), "--listen", "127.0.0.1"], ?COOKIE),
    _ = e2e:await_log(Worker, <<"loading model">>, 10000),
    _ = e2e:signal(Worker, "TERM"),
    ?assertMatch({0, _}, e2e:await_exit(Worker)).

first_that_fails(Node) ->
    case rpc:call(Node, ml_worker, get_load, []) of
        Load when is_float(Load) -> first_that_fails(Node);
        Failure -> Failure
    end.

is_draining({badrpc, {'EXIT', {draining, _}}}) -> true;
is_draining(_) -> false.

%% A supervising port that dies (with its VM, say) takes the worker with it.
stops_with_stdin(_) ->
    Worker = e2e:start_worker(worker),
    Pid = e2e:os_pid(Worker),
    #{holder := Holder} = Worker,
    exit(Holder, kill),
    e2e:eventually(fun() -> not filelib:is_dir(lists:concat(["/proc/", Pid])) end).

json_log(_) ->
    Worker = e2e:start_worker(worker, ["--log-format", "json"]),
    Lines = binary:split(e2e:log(Worker), <<"\n">>, [global, trim]),
    Decoded = [jiffy:decode(Line, [return_maps]) || Line <- Lines],
    ?assert(length(Decoded) >= 2),
    [?assertMatch(#{<<"level">> := _, <<"message">> := _}, D) || D <- Decoded],
    e2e:stop(Worker).

listen_port_taken(_) ->
    {ok, Socket} = gen_tcp:listen(0, [{ip, {127, 0, 0, 1}}]),
    {ok, Port} = inet:port(Socket),
    _ = ends(71, ["--name", name(), "--listen", "127.0.0.1", "--port-range", integer_to_list(Port)],
             ?COOKIE, [integer_to_list(Port)]),
    gen_tcp:close(Socket).

start(Name, Arguments, Environment) ->
    start(Name, ["--name", Name, "--listen", "127.0.0.1"], Arguments -- ["--listen", "127.0.0.1"],
          Environment).

start(_Name, First, Arguments, Environment) ->
    Worker = e2e:spawn_program(First ++ Arguments, Environment),
    ok = e2e:await_log(Worker, <<"ready">>, 60000),
    Worker.

texts(Count) ->
    Salt = integer_to_binary(erlang:unique_integer([positive])),
    [<<Salt/binary, " draining text ", (integer_to_binary(N))/binary>> || N <- lists:seq(1, Count)].

%% src/heap.cc: that jemalloc is the heap, and that it has been told.
keeps_large_allocations(_) ->
    _ = ends(0, ["--version"], [{"MALLOC_CONF", "stats_print:true"}], ["opt.oversize_threshold: 0"]).
