/* SPDX-License-Identifier: GPL-2.0-only */
/* org.varlink.service: what every Varlink service says about itself. */
#include "ipc/connection.h"
#include "ipc/params.h"

#include <string.h>

static const char description[] =
	"# The Varlink service interface\n"
	"interface org.varlink.service\n"
	"\n"
	"# Who this is and which interfaces it has\n"
	"method GetInfo() -> (\n"
	"  vendor: string,\n"
	"  product: string,\n"
	"  version: string,\n"
	"  url: string,\n"
	"  interfaces: []string\n"
	")\n"
	"\n"
	"# The text of an interface\n"
	"method GetInterfaceDescription(interface: string) -> (description: string)\n"
	"\n"
	"error InterfaceNotFound (interface: string)\n"
	"error MethodNotFound (method: string)\n"
	"error MethodNotImplemented (method: string)\n"
	"error InvalidParameter (parameter: string)\n"
	"error PermissionDenied ()\n"
	"error ExpectedMore ()\n";

static int get_info(struct pp_call *call, json_t *parameters)
{
	const struct pp_server_config *config = &pp_call_owner(call)->server->config;
	const char *bad = pp_params_parse(parameters, NULL, 0);
	json_t *info;

	if (bad)
		return pp_call_invalid(call, bad);
	info = json_pack("{s:s, s:s, s:s, s:s, s:[s, s]}", "vendor", config->vendor, "product",
			 config->product, "version", config->version, "url", config->url,
			 "interfaces", config->interface, PP_VARLINK_SERVICE);
	return info ? pp_call_reply(call, info) : -ENOMEM;
}

static int get_description(struct pp_call *call, json_t *parameters)
{
	const struct pp_server_config *config = &pp_call_owner(call)->server->config;
	const char *interface = NULL, *text, *bad;
	const struct pp_param params[] = {
		{ "interface", PP_PARAM_STRING, .required = true, .target = &interface },
	};
	json_t *reply;

	bad = pp_params_parse(parameters, params, ARRAY_SIZE(params));
	if (bad)
		return pp_call_invalid(call, bad);
	if (strcmp(interface, config->interface) == 0)
		text = config->description;
	else if (strcmp(interface, PP_VARLINK_SERVICE) == 0)
		text = description;
	else
		return pp_service_error(call, "InterfaceNotFound", "interface", interface);
	reply = json_pack("{s:s}", "description", text);
	return reply ? pp_call_reply(call, reply) : -ENOMEM;
}

int pp_service_call(struct pp_call *call, const struct pp_varlink_message *m)
{
	const char *name = m->method + strlen(PP_VARLINK_SERVICE) + 1;

	if (strcmp(name, "GetInfo") == 0)
		return get_info(call, m->parameters);
	if (strcmp(name, "GetInterfaceDescription") == 0)
		return get_description(call, m->parameters);
	return pp_service_error(call, "MethodNotFound", "method", m->method);
}
