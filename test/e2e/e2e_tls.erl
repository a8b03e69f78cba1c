%% @doc What the TLS suites share: a small public key infrastructure that openssl makes, and Erlang
%% nodes of any release with `-proto_dist inet_tls'.
-module(e2e_tls).

-export([make_pki/1, issue/3, issue/4, options/2, worker_options/2, client_options/1, eval/3]).
-export([node_arguments/3, protocol_arguments/2]).

-define(HOSTS, "IP:127.0.0.1,DNS:127.0.0.1,IP:::1,DNS:::1,IP:127.0.0.2,DNS:127.0.0.2,IP:127.0.0.3,"
        "DNS:127.0.0.3,DNS:localhost").

%% What openssl req takes as a new key.
-define(KEY, "ec -pkeyopt ec_paramgen_curve:prime256v1").

%% @doc In Folder: ca, other_ca, and certificates node (ours), wrong_host, expired, stranger (of
%% other_ca), each with NAME.pem and NAME.key.
make_pki(Folder) ->
    ok = filelib:ensure_path(Folder),
    [authority(Folder, Name) || Name <- [ca, other_ca]],
    ok = issue(Folder, node, ca),
    ok = issue(Folder, stranger, other_ca),
    ok = issue(Folder, wrong_host, ca, #{hosts => "DNS:elsewhere.example.com"}),
    ok = issue(Folder, expired, ca, #{days => -1}).

authority(Folder, Name) ->
    openssl(Folder, ["req -x509 -days 2 -subj /CN=", Name, new_key(?KEY, Name), " -out ", Name, ".pem"]).

issue(Folder, Name, Authority) -> issue(Folder, Name, Authority, #{}).

issue(Folder, Name, Authority, How) ->
    Extensions = ["subjectAltName=", maps:get(hosts, How, ?HOSTS), $\n],
    ok = file:write_file(filename:join(Folder, lists:concat([Name, ".ext"])), Extensions),
    Key = maps:get(key, How, ?KEY),
    openssl(Folder, ["req -subj /CN=", Name, new_key(Key, Name), " -out ", Name, ".csr"]),
    openssl(Folder, ["x509 -req -in ", Name, ".csr -CA ", Authority, ".pem -CAkey ", Authority,
                     ".key -CAcreateserial -extfile ", Name, ".ext -out ", Name, ".pem -days ",
                     maps:get(days, How, 2)]).

new_key(Kind, Name) -> lists:concat([" -newkey ", Kind, " -nodes -keyout ", Name, ".key"]).

openssl(Folder, Words) ->
    Command = lists:concat(["cd '", Folder, "' && openssl ", lists:concat(Words), " && chmod 600 *.key"]),
    {0, _} = e2e:run("sh", ["-c", Command]),
    ok.

%% @doc The words that make a worker speak TLS with the certificate of that name.
worker_options(Folder, Name) ->
    ["--tls-cert", file(Folder, Name, ".pem"), "--tls-key", file(Folder, Name, ".key"),
     "--tls-ca", file(Folder, ca, ".pem")].

%% @doc What ssl:connect gets to show our certificate.
client_options(Folder) ->
    [{certfile, file(Folder, node, ".pem")}, {keyfile, file(Folder, node, ".key")}, {verify, verify_none}].

%% @doc Writes the file for -ssl_dist_optfile. Path: where the node sees Folder. With
%% certificate => none the node shows none.
options(Folder, #{certificate := Certificate} = How) ->
    Path = maps:get(path, How, Folder),
    Own = [Entry || Certificate =/= none,
                    Entry <- [{certfile, file(Path, Certificate, ".pem")},
                              {keyfile, file(Path, Certificate, ".key")}]],
    Versions = [{versions, V} || V <- [maps:get(versions, How, default)], V =/= default],
    Verify = Versions ++ [{cacertfile, file(Path, maps:get(ca, How, ca), ".pem")}, {verify, verify_peer}],
    Terms = [{server, Own ++ Verify ++ [{fail_if_no_peer_cert, true}]}, {client, Own ++ Verify}],
    Name = lists:concat([e2e:unique(options), ".conf"]),
    ok = file:write_file(filename:join(Folder, Name), io_lib:format("~p.~n", [Terms])),
    filename:join(Path, Name).

file(Folder, Name, Extension) -> filename:join(Folder, lists:concat([Name, Extension])).

%% @doc What `erl' gets to be such a node, with our cookie.
node_arguments(Name, Protocol, OptionsFile) ->
    protocol_arguments(Protocol, OptionsFile) ++
        ["-name", Name, "-setcookie", atom_to_list(erlang:get_cookie()), "-noinput"].

protocol_arguments(Protocol, none) -> ["-proto_dist", Protocol];
protocol_arguments(Protocol, OptionsFile) -> ["-proto_dist", Protocol, "-ssl_dist_optfile", OptionsFile].

%% @doc Evaluates Code there; Root: none, or the file system that chroot enters. Its result, a term.
eval(Root, Arguments, Code) ->
    Wrapped = lists:flatten(["io:format(\"RESULT~n~0p.~n\", [begin ", Code, " end]), halt(0)."]),
    Words = Arguments ++ ["-eval", Wrapped],
    {0, Output} = case Root of
        none -> e2e:run("erl", Words);
        _ -> e2e:run("chroot", [Root, "erl" | Words])
    end,
    [_, Result] = string:split(unicode:characters_to_list(Output), "RESULT\n"),
    [Line | _] = string:split(Result, ".\n"),
    {ok, Tokens, _} = erl_scan:string(Line ++ "."),
    {ok, Term} = erl_parse:parse_term(Tokens),
    Term.
