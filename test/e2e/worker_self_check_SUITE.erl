%% @doc A worker whose vectors are not what they were leaves: at its start, when asked, and while it
%% serves. The drift is real: the weights that the worker has mapped are overwritten under it.
-module(worker_self_check_SUITE).

-compile([export_all, nowarn_export_all]).

-include_lib("stdlib/include/assert.hrl").

-define(NAME, "all-MiniLM-L6-v2").

suite() -> [{timetrap, {minutes, 3}}].

all() ->
    [verified_once, check_compares, drifted_at_start, unreadable_golden_file, no_state_folder,
     drifts_while_it_serves, interval_of_none].

init_per_suite(Config) ->
    ok = e2e:start_distribution(ct_self_check),
    Config.

end_per_suite(_) -> e2e:stop_distribution().

init_per_testcase(Case, Config) ->
    Folder = filename:join(proplists:get_value(priv_dir, Config), atom_to_list(Case)),
    ok = filelib:ensure_path(Folder),
    [{folder, Folder} | Config].

end_per_testcase(_, _) -> ok.

check(Config) ->
    e2e:await_exit(e2e:spawn_program(["--check", "--state-dir", state(Config)], [])).

state(Config) -> filename:join(proplists:get_value(folder, Config), "state").

golden_file(Config) ->
    [File] = filelib:wildcard(filename:join([state(Config), "golden", "*.golden"])),
    File.

%% The stored vectors with one number changed.
falsify(File) ->
    {ok, Text} = file:read_file(File),
    [Head, Vector | Rest] = binary:split(Text, <<"\n">>, [global]),
    [_ | Numbers] = binary:split(Vector, <<" ">>, [global]),
    Changed = lists:join(<<" ">>, [<<"0x1p+3">> | Numbers]),
    ok = file:write_file(File, lists:join(<<"\n">>, [Head, Changed | Rest])).

verified_once(Config) ->
    Worker = e2e:start_worker(worker, ["--state-dir", state(Config)]),
    ?assertNotEqual(nomatch, binary:match(e2e:log(Worker), <<"model verified for the first time">>)),
    e2e:stop(Worker),
    {ok, Stored} = file:read_file(golden_file(Config)),
    Again = e2e:start_worker(worker, ["--state-dir", state(Config)]),
    ?assertEqual(nomatch, binary:match(e2e:log(Again), <<"for the first time">>)),
    e2e:stop(Again),
    ?assertEqual({ok, Stored}, file:read_file(golden_file(Config))).

check_compares(Config) ->
    {0, First} = check(Config),
    ?assertNotEqual(nomatch, binary:match(First, <<"first verified now">>)),
    {0, Second} = check(Config),
    ?assertNotEqual(nomatch, binary:match(Second, <<"largest difference 0, allowed 1e-05">>)),
    ok = falsify(golden_file(Config)),
    {70, Third} = check(Config),
    ?assertNotEqual(nomatch, binary:match(Third, <<?NAME ": FAILED">>)).

drifted_at_start(Config) ->
    {0, _} = check(Config),
    ok = falsify(golden_file(Config)),
    Program = e2e:spawn_program(["--name", e2e:unique(worker) ++ "@127.0.0.1", "--state-dir", state(Config)],
                                [{"ML_WORKER_COOKIE", "irrelevant"}]),
    {70, Log} = e2e:await_exit(Program),
    [?assertNotEqual(nomatch, binary:match(Log, Text)) ||
        Text <- [<<?NAME>>, <<"differ">>, list_to_binary(golden_file(Config))]].

%% A file that is none of ours says nothing about the model; it is left alone and complained about.
unreadable_golden_file(Config) ->
    {0, _} = check(Config),
    File = golden_file(Config),
    ok = file:write_file(File, <<"something else\n">>),
    Worker = e2e:start_worker(worker, ["--state-dir", state(Config)]),
    ?assertNotEqual(nomatch, binary:match(e2e:log(Worker), <<"cannot be read as golden vectors">>)),
    e2e:stop(Worker),
    ?assertEqual({ok, <<"something else\n">>}, file:read_file(File)).

no_state_folder(Config) ->
    File = filename:join(proplists:get_value(folder, Config), "file"),
    ok = file:write_file(File, <<>>),
    Worker = e2e:start_worker(worker, ["--state-dir", filename:join(File, "below")]),
    ?assertNotEqual(nomatch, binary:match(e2e:log(Worker), <<"golden vectors are not kept">>)),
    ?assertEqual(ok, rpc:call(e2e:node_of(Worker), ml_worker, health, [])),
    e2e:stop(Worker).

drifts_while_it_serves(Config) ->
    Worker = start_on_a_copy(Config, "1"),
    Node = e2e:node_of(Worker),
    [Name, _] = string:split(atom_to_list(Node), "@"),
    ?assertEqual(ok, rpc:call(Node, ml_worker, health, [])),
    #{embeddings := [_]} = rpc:call(Node, ml_worker, encode, [[<<"before">>], default]),
    ok = overwrite_weights(Config),
    {70, Log} = e2e:await_exit(Worker, 60000),
    [?assertNotEqual(nomatch, binary:match(Log, Text)) ||
        Text <- [<<"unhealthy">>, <<"out of service">>, <<"leaving service">>, <<"stopped">>]],
    {ok, Names} = erl_epmd:names({127, 0, 0, 1}),
    ?assertNot(lists:keymember(Name, 1, Names)).

interval_of_none(Config) ->
    Worker = start_on_a_copy(Config, "0"),
    Node = e2e:node_of(Worker),
    ok = overwrite_weights(Config),
    {badrpc, {'EXIT', {{unhealthy, What}, _}}} = rpc:call(Node, ml_worker, health, []),
    ?assert(is_binary(What)),
    Unhealthy = fun(F, A) ->
        ?assertMatch({badrpc, {'EXIT', {{unhealthy, What}, _}}}, rpc:call(Node, ml_worker, F, A))
    end,
    Unhealthy(get_load, []),
    Unhealthy(encode, [[<<"after">>], default]),
    ?assertEqual(pong, net_adm:ping(Node)),
    e2e:stop(Worker).

start_on_a_copy(Config, Interval) ->
    Root = filename:join(proplists:get_value(folder, Config), "models"),
    ok = filelib:ensure_path(Root),
    _ = os:cmd(lists:concat(["cp -rL ", e2e:root(), "/models/", ?NAME, " ", Root])),
    e2e:start_worker(worker, ["--models-root", Root, "--state-dir", state(Config),
                              "--self-check-interval", Interval]).

%% In place: the file that is mapped, not another one under its name.
overwrite_weights(Config) ->
    File = filename:join([proplists:get_value(folder, Config), "models", ?NAME, "model.safetensors"]),
    Size = filelib:file_size(File),
    {ok, Device} = file:open(File, [read, write, raw, binary]),
    Chunk = binary:copy(<<16#3F800000:32/little>>, 250000),
    [ok = file:pwrite(Device, At, Chunk) || At <- lists:seq(20000, Size - byte_size(Chunk), byte_size(Chunk))],
    file:close(Device).
