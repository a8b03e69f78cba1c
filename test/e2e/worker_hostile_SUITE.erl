%% @doc What a peer may send: nothing of it costs the worker, or another peer, anything. All of it
%% over TCP and over TLS, with a genuine node that must be answered after each case.
-module(worker_hostile_SUITE).

-compile([export_all, nowarn_export_all]).

-include_lib("stdlib/include/assert.hrl").

-define(PATIENCE, 30000).
-define(MEGABYTE, 1000000).
-define(EXIT_PAYLOAD, 16#400000).
-define(FRAGMENTS, 16#800000).
-define(MAX_GROWTH, 200000).  % kB of resident memory, of a worker that has seen all of this

suite() -> [{timetrap, {minutes, 5}}].

all() -> [{group, plain}, {group, tls}].

groups() -> [{plain, [], cases()}, {tls, [], cases() ++ [a_flood_of_hellos, ticktime_of_4_s_under_load]}].

cases() ->
    [
        the_hand_made_peer_is_answered, wrong_cookie, a_wrong_cookie_is_logged_once,
        a_wrong_cookie_from_a_real_node, wrong_handshake, silent_in_the_handshake, http_on_the_port,
        a_flood_of_half_open_connections, too_many_handshakes, taken_names, bytes_that_drip,
        frame_cut_at_every_byte, handshake_cut_at_every_byte, reset_in_mid_frame, huge_lengths,
        garbage_after_the_handshake, unreadable_control, atom_cache_misuse, nesting_bomb,
        unknown_operations, unreadable_payload, huge_terms, compressed_bomb, fat_controls,
        a_fat_reason, fat_messages,
        fragments_never_finished, random_bytes, a_reader_that_never_reads,
        a_flood_of_processes, ten_thousand_calls_at_once, five_hundred_clients_at_once,
        descriptors_above_1024, a_stopped_peer
    ].

init_per_suite(Config) ->
    {ok, _} = application:ensure_all_started(ssl),
    ok = e2e:start_distribution(ct_hostile),
    Folder = filename:join(proplists:get_value(priv_dir, Config), "pki"),
    ok = e2e_tls:make_pki(Folder),
    [{folder, Folder} | Config].

end_per_suite(_) -> e2e:stop_distribution().

init_per_group(Transport, Config) ->
    Transported = transport(Transport, proplists:get_value(folder, Config)) ++ Config,
    Worker = start_worker(Transported, []),
    Group = [{worker, Worker} | Transported],
    Witness = start_witness(Group, witness, []),
    #{embeddings := [_]} = ask(Witness, Worker, rpc, call, [ml_worker, encode, [[<<"alive">>], default]]),
    [{witness, Witness}, {before, resident_kilobytes(Worker)} | Group].

transport(plain, _) -> [{how, #{}}, {worker_words, []}, {node_words, []}];
transport(tls, Folder) ->
    Options = e2e_tls:options(Folder, #{certificate => node}),
    [{how, #{tls => e2e_tls:client_options(Folder)}},
     {worker_words, e2e_tls:worker_options(Folder, node)},
     {node_words, e2e_tls:protocol_arguments("inet_tls", Options)}].

%% The genuine node has been connected all the time.
end_per_group(_, Config) ->
    Worker = worker(Config),
    {_, WitnessNode} = proplists:get_value(witness, Config),
    Lost = re:run(e2e:log(Worker), "peer disconnected.*" ++ atom_to_list(WitnessNode)),
    e2e:stop_peer(proplists:get_value(witness, Config)),
    ok = e2e:stop(Worker),
    ?assertEqual(nomatch, Lost).

%% After each case: the same process, it answers, and its memory is bounded.
end_per_testcase(_Case, Config) ->
    Worker = worker(Config),
    ?assert(filelib:is_dir(lists:concat(["/proc/", e2e:os_pid(Worker)]))),
    check_genuine(Config, Worker),
    Growth = resident_kilobytes(Worker) - proplists:get_value(before, Config),
    ct:log("the worker has grown by ~b kB", [Growth]),
    ?assert(Growth < ?MAX_GROWTH).

%% ---- Before the cookie is proved -----------------------------------------------------------------

%% So that the cases below prove something: the same peer, behaving, gets its answer.
the_hand_made_peer_is_answered(Config) ->
    Socket = connected(Config),
    ok = dist_wire:send(Socket, encode_request()),
    {message, {31, _, _, 2, Pid}, none} = dist_wire:next(Socket, ?PATIENCE),
    ?assert(is_pid(Pid)),
    ?assertMatch({message, {28, Pid, _, _}, {_, return, #{embeddings := [_]}}},
                 dist_wire:next(Socket, ?PATIENCE)),
    dist_wire:close(Socket).

wrong_cookie(Config) ->
    Socket = opened(Config),
    ?assertMatch({error, _}, dist_wire:handshake(Socket, name(), "not the cookie")),
    ?assert(is_closed(Socket)),
    ?assertEqual(nomatch, binary:match(e2e:log(worker(Config)), list_to_binary(cookie()))).

%% Once per peer and minute, with the address it comes from.
a_wrong_cookie_is_logged_once(Config) ->
    [Name, Other] = [name(), name()],
    [?assertMatch({error, _}, dist_wire:handshake(opened(Config), Each, "wrong")) || Each <- [Name, Name, Other]],
    ok = e2e:await_log(worker(Config), list_to_binary(Other), ?PATIENCE),
    Lines = [Line || Line <- binary:split(e2e:log(worker(Config)), <<"\n">>, [global]),
                     binary:match(Line, list_to_binary(Name)) =/= nomatch],
    ?assertMatch([_], Lines),
    ?assertMatch({match, _}, re:run(hd(Lines), "address=127\\.0\\.0\\.1 .*wrong cookie")).

a_wrong_cookie_from_a_real_node(Config) ->
    Code = lists:concat(["io:format(\"~p\", [net_adm:ping('", node_of(Config), "')]), halt()."]),
    {0, Output} = e2e:run("erl", proplists:get_value(node_words, Config) ++
                          ["-name", name(), "-setcookie", "wrong", "-noinput", "-eval", Code]),
    ?assertMatch({match, _}, re:run(Output, "pang")).

wrong_handshake(Config) ->
    Right = <<"N", 16#507474fbc:64, 1:32, 3:16, "a@b">>,
    Wrong = [[<<>>], [<<"N">>], [<<"N", 0:64>>], [<<"n", 5:16, 0:32, "x">>], [<<"x", 0:100/unit:8>>],
             [<<"N", 0:64, 1:32, 3:16, "a@b">>], [<<"N", 16#507474fbc:64, 1:32, 65535:16, "a@b">>],
             [<<"N", 16#507474fbc:64, 1:32, 4:16, 255, 254, "@b">>],
             [<<"N", 16#507474fbc:64, 1:32, 0:16>>], [binary:copy(<<"N">>, 60000)],
             %% The right beginning; then no challenge reply, one that is short, one that is wrong.
             [Right, <<"r">>], [Right, <<"r", 1:32, 0:64>>], [Right, <<"r", 1:32, 0:128>>],
             [Right, <<"a", 0:128>>], [Right, Right], [Right, <<"strue">>]],
    [begin
        Socket = opened(Config),
        [_ = dist_wire:send_packet(Socket, Message) || Message <- Messages],
        ?assert(is_closed(Socket)),
        dist_wire:close(Socket)
     end || Messages <- Wrong].

%% One deadline for the whole handshake, TLS's included.
silent_in_the_handshake(Config) ->
    Silent = [dist_wire:connect(node_of(Config)) || _ <- lists:seq(1, 100)],
    check_genuine(Config, worker(Config)),
    [?assert(is_closed(Socket)) || Socket <- Silent].

http_on_the_port(Config) ->
    [begin
        _ = dist_wire:send(Socket, <<"GET / HTTP/1.1\r\nHost: x\r\n\r\n">>),
        ?assert(is_closed(Socket))
     end || Socket <- [dist_wire:connect(node_of(Config)), opened(Config)]].

%% From the address of the genuine node: they give way, it does not.
a_flood_of_half_open_connections(Config) ->
    Worker = start_worker(Config, ["--max-handshakes", "100", "--handshake-timeout", "60"]),
    Silent = [dist_wire:connect(e2e:node_of(Worker)) || _ <- lists:seq(1, 300)],
    check_genuine(Config, Worker),
    [?assert(is_closed(Socket)) || Socket <- lists:sublist(Silent, 200)],
    ok = e2e:await_log(Worker, <<"made room for a newer one">>, ?PATIENCE),
    ok = e2e:stop(Worker).

%% An address that is over its rate costs other addresses nothing.
too_many_handshakes(Config) ->
    Worker = start_worker(Config, ["--handshake-rate", "1"]),
    [dist_wire:close(dist_wire:connect(e2e:node_of(Worker))) || _ <- lists:seq(1, 60)],
    ok = e2e:await_log(Worker, <<"too many handshakes">>, ?PATIENCE),
    Elsewhere = dist_wire:connect(e2e:node_of(Worker), (how(Config))#{from => {127, 0, 0, 2}}),
    ok = dist_wire:handshake(Elsewhere, name(), cookie()),
    dist_wire:close(Elsewhere),
    ok = e2e:stop(Worker).

%% The name of a node that is connected, and the worker's own. end_per_group sees that it was not lost.
taken_names(Config) ->
    {_, Witness} = proplists:get_value(witness, Config),
    Unproved = opened(Config),
    ?assertMatch({error, {status, {ok, <<"salive">>}}},
                 dist_wire:handshake(Unproved, atom_to_list(Witness), cookie())),
    ok = dist_wire:send_packet(Unproved, <<"strue">>),
    ?assertMatch({error, _}, dist_wire:prove(Unproved, "wrong")),
    ?assertMatch({error, {status, {ok, <<"snot_allowed">>}}},
                 dist_wire:handshake(opened(Config), atom_to_list(node_of(Config)), cookie())).

handshake_cut_at_every_byte(Config) ->
    Name = dist_wire:name_message(name()),
    [begin
        Socket = opened(Config),
        ok = dist_wire:send_packet(Socket, binary:part(Name, 0, Length)),
        dist_wire:close(Socket)
     end || Length <- lists:seq(0, byte_size(Name) - 1)].

%% ---- Frames --------------------------------------------------------------------------------------

bytes_that_drip(Config) ->
    Socket = connected(Config),
    [ok = dist_wire:send(Socket, <<Byte>>) || <<Byte>> <= encode_request()],
    ?assertMatch({message, {28, _, _, _}, {_, return, _}}, await_operation(Socket, 28)),
    dist_wire:close(Socket).

frame_cut_at_every_byte(Config) ->
    Frame = encode_request(),
    [begin
        Socket = connected(Config),
        ok = dist_wire:send(Socket, binary:part(Frame, 0, Length)),
        dist_wire:close(Socket)
     end || Length <- lists:seq(0, byte_size(Frame) - 1)].

reset_in_mid_frame(Config) ->
    [begin
        Socket = connected(Config, #{linger => {true, 0}}),
        ok = dist_wire:send(Socket, [<<10000000:32, $p, 131>>, binary:copy(<<0>>, Bytes)]),
        dist_wire:close(Socket)
     end || Bytes <- [0, 1, 1000, 100000, ?MEGABYTE]].

%% What a length claims costs nothing: memory follows what has arrived, of a frame over the cap only
%% its head is kept.
huge_lengths(Config) ->
    Before = resident_kilobytes(worker(Config)),
    Sockets = [connected(Config) || _ <- lists:seq(1, 30)],
    Lengths = lists:append(lists:duplicate(10, [16#7fffffff, 16#80000000, 16#ffffffff])),
    Piece = binary:copy(<<0>>, ?MEGABYTE),
    [_ = dist_wire:send(Socket, [<<Length:32, $p, 131>>, Piece]) ||
        {Socket, Length} <- lists:zip(Sockets, Lengths)],
    check_genuine(Config, worker(Config)),
    ?assert(resident_kilobytes(worker(Config)) - Before < 100000),
    [dist_wire:close(Socket) || Socket <- Sockets].

garbage_after_the_handshake(Config) ->
    _ = rand:seed(exsss, {4, 5, 6}),
    [begin
        Socket = connected(Config),
        _ = dist_wire:send(Socket, rand:bytes(rand:uniform(100000))),
        dist_wire:close(Socket)
     end || _ <- lists:seq(1, 30)].

unreadable_control(Config) ->
    [begin
        Socket = connected(Config),
        ok = dist_wire:send(Socket, dist_wire:framed(<<$p, Bytes/binary>>)),
        ?assert(is_closed(Socket))
     end || Bytes <- [<<131>>, <<0>>, <<131, 104, 255>>, <<131, 104, 2, 97>>, <<131, 80, 0, 0, 255, 255>>]].

%% We have not agreed on a cache: what refers to it, or says that it fills it, is no message.
atom_cache_misuse(Config) ->
    [begin
        Socket = connected(Config, #{}, dist_wire:flags_with_fragments()),
        ok = dist_wire:send(Socket, dist_wire:framed(Bytes)),
        ?assert(is_closed(Socket))
     end || Bytes <- [<<131, $D, 1, 8, 0, 3, "abc", 104, 1, 82, 0>>, <<131, $D, 255>>,
                      <<131, $D, 0, 104, 2, 97, 2, 82, 0>>, <<131, $E, 1:64, 2:64, 2, 0, 0, 104>>,
                      <<$p, 131, 104, 3, 97, 1, 82, 5, 82, 6>>]].

nesting_bomb(Config) ->
    Socket = connected(Config),
    Deep = [131, binary:copy(<<104, 1>>, 5000000), 106],
    ok = dist_wire:send(Socket, call_with(Deep)),
    ?assertMatch({_, {bad_argument, args, _}}, refusal(Socket)),
    Control = iolist_to_binary([$p, Deep]),
    ok = dist_wire:send(Socket, dist_wire:framed(Control)),
    ?assert(is_closed(Socket)).

unknown_operations(Config) ->
    Socket = connected(Config),
    Unknown = [{0}, {99, 1, 2}, {1000000}, {-1}, {29}, {29, 1, 2, 3, 4, 5}, {6, 1, 2, 3}, {2}, {19},
               {35, self(), self()}, {1, self(), self()}, {8, self(), self(), x}, {20, 1, 2, 3}, {},
               {a, b}, {1 bsl 80, x}],
    [ok = dist_wire:send(Socket, [dist_wire:frame(U), dist_wire:frame(U, {payload})]) || U <- Unknown],
    ok = dist_wire:send(Socket, encode_request()),
    ?assertMatch({message, _, _}, await_operation(Socket, 31)),
    dist_wire:close(Socket).

%% A payload that cannot be read costs its own call only.
unreadable_payload(Config) ->
    Socket = connected(Config),
    [ok = dist_wire:send(Socket, call_with(Payload))
     || Payload <- [<<>>, <<131>>, <<131, 67, 0, 0>>, <<131, 108, 255, 255, 255, 255>>, <<131, 255>>,
                    term_to_binary(not_a_list), term_to_binary([make_ref(), m, f, a, b]),
                    term_to_binary([make_ref(), ml_worker, info, not_a_list]),
                    term_to_binary([make_ref(), ml_worker, info, [1 | 2]]),
                    term_to_binary([make_ref(), "ml_worker", 5, []])]],
    ok = dist_wire:send(Socket, encode_request()),
    ?assertMatch({message, _, _}, await_operation(Socket, 28)),
    dist_wire:close(Socket).

%% Terms that claim more than is there, and terms that are there and too much.
huge_terms(Config) ->
    Socket = connected(Config),
    [begin
        ok = dist_wire:send(Socket, call_with([131, Term])),
        ?assertMatch({Index, {_, {bad_argument, args, _}}}, {Index, refusal(Socket)})
     end || {Index, Term} <- lists:enumerate([
        [<<108, 4500000:32>>, binary:copy(<<97, 1>>, 4500000), 106], <<108, 16#ffffffff:32, 106>>,
        <<105, 16#ffffffff:32>>, <<116, 16#7fffffff:32, 97, 1>>, <<109, 16#ffffffff:32, "x">>,
        <<111, 16#7fffffff:32, 0, 1>>, <<118, 65535:16, "atom">>, <<107, 65535:16, "x">>,
        <<77, 16#ffffffff:32, 1, "x">>, <<112, 16#ffffffff:32, 1>>, <<90, 65535:16, 119, 1, "a">>,
        [<<111, 5000000:32, 0>>, binary:copy(<<255>>, 5000000)]])],
    dist_wire:close(Socket).

compressed_bomb(Config) ->
    Bomb = term_to_binary(binary:copy(<<0>>, 100 * ?MEGABYTE), [{compressed, 9}]),
    ?assertMatch(<<131, 80, _/binary>>, Bomb),
    Before = resident_kilobytes(worker(Config)),
    Socket = connected(Config),
    [ok = dist_wire:send(Socket, call_with(Bomb)) || _ <- lists:seq(1, 20)],
    [?assertMatch({_, {bad_argument, args, _}}, refusal(Socket)) || _ <- lists:seq(1, 20)],
    ?assert(resident_kilobytes(worker(Config)) - Before < 90000),
    dist_wire:close(Socket).

%% Each control message with 100 KB in each place: what is no id, pid or reference is not sent back.
fat_controls(Config) ->
    Fat = binary:copy(<<"x">>, 100000),
    [begin
        Socket = connected(Config, #{}, Flags),
        Live = a_live_pid(Socket, Flags),
        [ok = dist_wire:send(Socket, [frame(Flags, [Control]), frame(Flags, [Control, {payload}])])
         || Right <- controls(Live), Place <- lists:seq(2, tuple_size(Right)),
            Control <- [setelement(Place, Right, Fat)]],
        ok = dist_wire:send(Socket, frame(Flags, [{6, self(), '', net_kernel},
                                                  {'$gen_call', {self(), tag}, {is_auth, node()}}])),
        ?assertMatch({message, _, {tag, yes}}, await_operation(Socket, 2)),
        dist_wire:close(Socket)
     end || Flags <- ways_of_fragments()].

%% With what a call exits may be of any size: whoever watches it gets all of it.
a_fat_reason(Config) ->
    Fat = binary:copy(<<"x">>, 100000),
    [begin
        Socket = connected(Config, #{}, Flags),
        Live = a_live_pid(Socket, Flags),
        ok = dist_wire:send(Socket, [frame(Flags, [Control]) || Control <-
            [{1, self(), Live}, {19, self(), Live, make_ref()}, {8, self(), Live, Fat}]]),
        [?assertEqual(Fat, reason_of(dist_wire:next(Socket, ?PATIENCE)))
         || not has_fragments(Flags) orelse not has_exit_payload(Flags), _ <- [spawned, linked, monitored]],
        [?assertMatch({fragment, _, Left}, dist_wire:next(Socket, ?PATIENCE))
         || has_fragments(Flags), has_exit_payload(Flags), Left <- [2, 2, 2, 1, 1, 1]],
        dist_wire:close(Socket)
     end || Flags <- ways_of_fragments()].

ways_of_fragments() ->
    All = dist_wire:flags_with_fragments(),
    [All, All band bnot ?EXIT_PAYLOAD, All band bnot ?FRAGMENTS, All band bnot (?FRAGMENTS bor ?EXIT_PAYLOAD)].

has_fragments(Flags) -> Flags band ?FRAGMENTS =/= 0.
has_exit_payload(Flags) -> Flags band ?EXIT_PAYLOAD =/= 0.

%% How such a peer writes frames.
frame(Flags, Terms) ->
    apply(dist_wire, case has_fragments(Flags) of true -> whole; false -> frame end, Terms).

%% The pid of a call that takes its time.
a_live_pid(Socket, Flags) ->
    ok = dist_wire:send(Socket, frame(Flags, [dist_wire:spawn_control(make_ref()),
                                              [make_ref(), ml_worker, encode, dist_core:long_work()]])),
    {message, {31, _, _, 2, Pid}, _} = dist_wire:next(Socket, ?PATIENCE),
    Pid.

reason_of({message, {28, _, _, _}, Reason}) -> Reason;
reason_of({message, {24, _, _}, Reason}) -> Reason;
reason_of({message, {21, _, _, _, Reason}, none}) -> Reason;
reason_of({message, {3, _, _, Reason}, none}) -> Reason.

%% One of each operation, as it should be.
controls(Pid) ->
    [Self, Ref, Token, Mfa] = [self(), make_ref(), {0, 1, self(), 2, none}, {erpc, execute_call, 4}],
    [
        {1, Self, Pid}, {2, '', Pid}, {3, Self, Pid, why}, {4, Self, Pid}, {6, Self, '', rex}, {7, Self, Pid},
        {8, Self, Pid, normal}, {12, '', Pid, Token}, {13, Self, Pid, Token, why}, {16, Self, '', rex, Token},
        {18, Self, Pid, Token, normal}, {19, Self, Pid, Ref}, {20, Self, Pid, Ref}, {21, Self, Pid, Ref, why},
        {22, Self, Pid}, {23, Self, Pid, Token}, {24, Self, Pid}, {25, Self, Pid, Token}, {26, Self, Pid},
        {27, Self, Pid, Token}, {28, Self, Pid, Ref}, {29, Ref, Self, Self, Mfa, [monitor]},
        {30, Ref, Self, Self, Mfa, [monitor], Token}, {31, Ref, Self, 0, Pid}, {32, Ref, Self, 0, Pid, Token},
        {33, Self, Ref}, {34, Self, Ref, Token}, {35, 1, Self, Pid}, {36, 1, Self, Pid}
    ].

%% Calls in messages of a megabyte: what is held until the answer counts, not what is asked. Each takes
%% longer than its message, however fast the machine is, so that few are answered while the others come;
%% one forward pass at a time, whose memory is there before.
fat_messages(Config) ->
    Worker = start_worker(Config, ["--max-pending-bytes", "20000000", "--forward-passes", "1"]),
    Socket = connected(Config, Worker, #{}, none),
    [Texts, Model] = dist_core:long_work(),
    %% A forward pass keeps its memory: not what is measured here.
    ok = dist_wire:send(Socket, dist_wire:spawn_request(self(), make_ref(), ml_worker, encode,
                                                        [lists:sublist(Texts, 500), Model])),
    {message, _, {_, return, _}} = await_operation(Socket, 28),
    Before = resident_kilobytes(Worker),
    Fat = binary:copy(<<"x">>, ?MEGABYTE),
    Other = fun(N) -> [<<Text/binary, " ", (integer_to_binary(N))/binary>> || Text <- lists:sublist(Texts, 300)] end,
    [ok = dist_wire:send(Socket, dist_wire:frame(
        {29, make_ref(), self(), self(), {erpc, execute_call, 4}, [monitor, {fat, Fat}]},
        [make_ref(), ml_worker, encode, [Other(N), Model]])) || N <- lists:seq(1, 200)],
    check_genuine(Config, Worker),
    Growth = resident_kilobytes(Worker) - Before,
    Answers = [element(3, await_operation(Socket, 28)) || _ <- lists:seq(1, 200)],
    ct:log("200 MB of messages made it grow by ~b kB", [Growth]),
    ?assert(Growth < 100000),
    Refused = [Ms || {_, error, {overloaded, Ms}, _} <- Answers],
    ?assert(length(Refused) > 150 andalso length(Refused) < 200),
    dist_wire:close(Socket),
    ok = e2e:stop(Worker).

%% Far more than may be put together at once, and no message ever ends.
fragments_never_finished(Config) ->
    Worker = start_worker(Config, ["--max-reassembly-bytes", "4000000"]),
    Before = resident_kilobytes(Worker),
    Sockets = [connected(Config, Worker, #{}, dist_wire:flags_with_fragments()) || _ <- lists:seq(1, 5)],
    [ok = dist_wire:send(Socket, lists:droplast(
        dist_wire:fragments(Sequence, dist_wire:spawn_control(make_ref()), binary:copy(<<"x">>, 5 * ?MEGABYTE))))
     || Socket <- Sockets, Sequence <- lists:seq(1, 5)],
    check_genuine(Config, Worker),
    ?assert(resident_kilobytes(Worker) - Before < 100000),
    [dist_wire:close(Socket) || Socket <- Sockets],
    ok = e2e:stop(Worker).

random_bytes(Config) ->
    _ = rand:seed(exsss, {1, 2, 3}),
    Request = encode_request(),
    [begin
        Socket = connected(Config),
        ok = dist_wire:send(Socket, mutate(Request)),
        dist_wire:close(Socket)
     end || _ <- lists:seq(1, 200)].

mutate(Frame) ->
    Position = 5 + rand:uniform(byte_size(Frame) - 5) - 1,
    <<Before:Position/binary, _, After/binary>> = Frame,
    <<Before/binary, (rand:uniform(256) - 1), After/binary>>.

%% ---- Much of what is allowed ---------------------------------------------------------------------

a_reader_that_never_reads(Config) ->
    Socket = connected(Config),
    Texts = [integer_to_binary(N) || N <- lists:seq(1, 300)],
    [ok = dist_wire:send(Socket, dist_wire:spawn_request(self(), make_ref(), ml_worker, encode, [Texts, default]))
     || _ <- lists:seq(1, 30)],
    [check_genuine(Config, worker(Config)) || _ <- lists:seq(1, 20)],
    dist_wire:close(Socket).

%% Links and monitors of what is not there, and processes that end at once.
a_flood_of_processes(Config) ->
    Socket = connected(Config),
    Count = 3000,
    Dead = c:pid(0, 1000, 0),
    [ok = dist_wire:send(Socket, [
        dist_wire:frame({19, self(), no_such_name, make_ref()}), dist_wire:frame({1, self(), Dead}),
        dist_wire:frame({29, make_ref(), self(), self(), {ml_worker, no_such, 0}, [monitor, link]}, [])])
     || _ <- lists:seq(1, Count)],
    ok = dist_wire:send(Socket, encode_request()),
    ?assertMatch({message, _, {_, return, _}}, await_return(Socket)),
    dist_wire:close(Socket).

await_return(Socket) ->
    case dist_wire:next(Socket, ?PATIENCE) of
        {message, {28, _, _, _}, {_, error, _, _}} -> await_return(Socket);
        {message, {28, _, _, _}, {_, return, _}} = Returned -> Returned;
        {message, _, _} -> await_return(Socket)
    end.

ten_thousand_calls_at_once(Config) ->
    {Peer, _} = proplists:get_value(witness, Config),
    ?assertEqual(10000, peer:call(Peer, ?MODULE, calls_at_once, [node_of(Config), 10000], 120000)).

%% In the genuine node: how many of that many are answered.
calls_at_once(Node, Count) ->
    Requests = [erpc:send_request(Node, ml_worker, get_load, []) || _ <- lists:seq(1, Count)],
    length([Load || Id <- Requests, Load <- [erpc:receive_response(Id)], is_float(Load)]).

five_hundred_clients_at_once(Config) ->
    Worker = start_worker(Config, ["--handshake-timeout", "120"]),
    Self = self(),
    Clients = [spawn_link(fun() ->
        Socket = connected(Config, Worker, #{}, none),
        ok = dist_wire:send(Socket, dist_wire:spawn_request(self(), make_ref(), ml_worker, get_load, [])),
        Self ! {self(), await_operation(Socket, 28)},
        receive done -> dist_wire:close(Socket) end
    end) || _ <- lists:seq(1, 500)],
    [receive {Client, Answer} -> ?assertMatch({message, _, {_, return, _}}, Answer) end || Client <- Clients],
    check_genuine(Config, Worker),
    [Client ! done || Client <- Clients],
    ok = e2e:stop(Worker).

descriptors_above_1024(Config) ->
    Worker = start_worker(Config, ["--max-handshakes", "4000", "--handshake-rate", "1000", "--handshake-rate-total",
                                   "1000", "--handshake-timeout", "300"]),
    Silent = [dist_wire:connect(e2e:node_of(Worker)) || _ <- lists:seq(1, 1100)],
    ok = e2e:eventually(fun() -> length(filelib:wildcard(lists:concat(["/proc/", e2e:os_pid(Worker), "/fd/*"]))) > 1100 end),
    check_genuine(Config, Worker),
    [dist_wire:close(Socket) || Socket <- Silent],
    ok = e2e:stop(Worker).

%% It is given up, and its work dropped, while others are served.
a_stopped_peer(Config) ->
    Worker = start_worker(Config, ["--tick-interval", "1", "--peer-timeout", "4"]),
    Stopped = {Peer, _} = start_witness(Config, stopped, []),
    _ = peer:call(Peer, life_SUITE, ask_and_stay, [e2e:node_of(Worker)]),
    Pid = peer:call(Peer, os, getpid, []),
    _ = os:cmd("kill -STOP " ++ Pid),
    ok = e2e:await_log(Worker, <<"the peer is silent">>, 60000),
    check_genuine(Config, Worker),
    _ = os:cmd("kill -KILL " ++ Pid),
    catch e2e:stop_peer(Stopped),
    ok = e2e:stop(Worker).

%% Strangers who ask for TLS, and no more, let a worker with a long key compute for seconds: who is
%% connected is answered meanwhile as ever.
a_flood_of_hellos(Config) ->
    Folder = proplists:get_value(folder, Config),
    ok = e2e_tls:issue(Folder, long_key, ca, #{key => "rsa:4096"}),
    Worker = e2e:start_worker(worker, e2e_tls:worker_options(Folder, long_key)),
    {Peer, _} = Calling = start_witness(Config, calling, []),
    pong = ask(Calling, Worker, net_adm, ping, []),
    Hello = client_hello(Config),
    Strangers = [dist_wire:connect(e2e:node_of(Worker)) || _ <- lists:seq(1, 400)],
    Calls = peer:call(Peer, life_SUITE, start_calls, [e2e:node_of(Worker)]),
    Begun = erlang:monotonic_time(millisecond),
    [ok = gen_tcp:send(Socket, Hello) || Socket <- Strangers],
    %% A ServerHello, in a record of the handshake.
    [?assertMatch({ok, <<22, 3>>}, gen_tcp:recv(Socket, 2, ?PATIENCE)) || Socket <- Strangers],
    Took = erlang:monotonic_time(millisecond) - Begun,
    {Count, Longest} = peer:call(Peer, life_SUITE, stop_calls, [Calls], ?PATIENCE),
    ct:log("~b calls while the hellos took ~b ms, the longest ~b ms", [Count, Took, Longest]),
    ?assert(Longest < Took div 3),
    [gen_tcp:close(Socket) || Socket <- Strangers],
    e2e:stop_peer(Calling),
    ok = e2e:stop(Worker).

%% What ssl says first.
client_hello(Config) ->
    {ok, Listener} = gen_tcp:listen(0, [binary, {active, false}, {ip, {127, 0, 0, 1}}]),
    {ok, Port} = inet:port(Listener),
    #{tls := Options} = how(Config),
    _ = spawn(fun() -> ssl:connect({127, 0, 0, 1}, Port, Options, 1000) end),
    {ok, Socket} = gen_tcp:accept(Listener, ?PATIENCE),
    {ok, Hello} = gen_tcp:recv(Socket, 0, ?PATIENCE),
    [gen_tcp:close(S) || S <- [Socket, Listener]],
    Hello.

%% life_SUITE has it over TCP.
ticktime_of_4_s_under_load(Config) ->
    Worker = start_worker(Config, []),
    {Peer, _} = Impatient = start_witness(Config, impatient, ["-kernel", "net_ticktime", "4"]),
    Watcher = peer:call(Peer, life_SUITE, watch, [e2e:node_of(Worker), nothing]),
    _ = peer:call(Peer, life_SUITE, ask_and_stay, [e2e:node_of(Worker)]),
    timer:sleep(13000),
    ?assertEqual(alive, peer:call(Peer, life_SUITE, verdict, [Watcher])),
    e2e:stop_peer(Impatient),
    ok = e2e:stop(Worker).

%% ---- Help ----------------------------------------------------------------------------------------

worker(Config) -> proplists:get_value(worker, Config).
node_of(Config) -> e2e:node_of(worker(Config)).
how(Config) -> proplists:get_value(how, Config).
cookie() -> atom_to_list(erlang:get_cookie()).
name() -> e2e:unique(evil) ++ "@127.0.0.1".

%% A further worker; e2e:start_worker/2 as this group speaks.
start_worker(Config, Arguments) ->
    e2e:start_worker(worker, proplists:get_value(worker_words, Config) ++ Arguments).

start_witness(Config, Name, Arguments) ->
    {ok, Peer, Node} = peer:start(#{
        name => e2e:unique(Name), host => "127.0.0.1", longnames => true, connection => standard_io,
        args => proplists:get_value(node_words, Config) ++
            ["-setcookie", cookie(), "-kernel", "inet_dist_use_interface", "{127,0,0,1}",
             "-pa", filename:dirname(code:which(?MODULE)) | Arguments]}),
    {Peer, Node}.

ask({Peer, _}, Worker, Module, Function, Arguments) ->
    peer:call(Peer, Module, Function, [e2e:node_of(Worker) | Arguments], ?PATIENCE).

%% A real node is answered, with a vector.
check_genuine(Config, Worker) ->
    Witness = proplists:get_value(witness, Config),
    ?assertEqual(pong, ask(Witness, Worker, net_adm, ping, [])),
    ?assertMatch(#{embeddings := [_]}, ask(Witness, Worker, rpc, call, [ml_worker, encode, [[<<"alive">>], default]])).

%% Nothing said yet; TLS, where it is spoken, is there.
opened(Config) -> dist_wire:connect(node_of(Config), how(Config)).

connected(Config) -> connected(Config, #{}).
connected(Config, How) -> connected(Config, How, none).
connected(Config, How, Flags) -> connected(Config, worker(Config), How, Flags).

connected(Config, Worker, How, Flags) ->
    Socket = dist_wire:connect(e2e:node_of(Worker), maps:merge(how(Config), How)),
    ok = case Flags of
        none -> dist_wire:handshake(Socket, name(), cookie());
        _ -> dist_wire:handshake(Socket, name(), cookie(), Flags)
    end,
    Socket.

%% Whether the worker closes this connection.
is_closed(Socket) ->
    case dist_wire:recv(Socket, 0, ?PATIENCE) of
        {error, timeout} -> false;
        {error, _} -> true;
        {ok, _} -> is_closed(Socket)
    end.

encode_request() ->
    dist_wire:spawn_request(self(), make_ref(), ml_worker, encode, [[<<"by hand">>], default]).

%% The frame of an erpc:call with this as its payload.
call_with(Payload) ->
    Control = term_to_binary({29, make_ref(), self(), self(), {erpc, execute_call, 4}, [monitor]}),
    dist_wire:framed(iolist_to_binary([$p, Control, Payload])).

%% How the next call ends: {Operation, Reason}.
refusal(Socket) ->
    case dist_wire:next(Socket, ?PATIENCE) of
        {message, {31, _, _, 2, _}, _} -> refusal(Socket);
        {message, {28, _, _, _}, {_, error, Reason, _}} -> {28, Reason};
        {message, {28, _, _, _}, {Reason, _}} -> {28, Reason}
    end.

%% The next message with this operation; other answers are skipped.
await_operation(Socket, Operation) ->
    case dist_wire:next(Socket, ?PATIENCE) of
        {message, Control, _} = Message when element(1, Control) =:= Operation -> Message;
        {message, _, _} -> await_operation(Socket, Operation);
        {fragment, _, _} -> await_operation(Socket, Operation);
        Error -> Error
    end.

resident_kilobytes(Worker) ->
    {ok, Status} = file:read_file(lists:concat(["/proc/", e2e:os_pid(Worker), "/status"])),
    {match, [Kilobytes]} = re:run(Status, "VmRSS:\\s+(\\d+)", [{capture, all_but_first, list}]),
    list_to_integer(Kilobytes).
