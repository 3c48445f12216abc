package server

func modelOperations() []operation {
	const tag = "models"
	return []operation{
		{method: "GET", path: "/api/models", tag: tag, summary: "Thing Models, by name", access: reader, params: []string{"limit", "after", "ticket"}, answer: "ThingModels", errors: []int{422},
			note: "A Thing Model says what is alike in many things. A description that names it by echotwin:model and gives the values of its placeholders by echotwin:values is made of it, and changes with it."},
		{method: "GET", path: "/api/models/{id}", tag: tag, summary: "One Thing Model, as it was given", access: reader, params: []string{"modelName", "ifNoneMatch", "ticket"}, answer: "ThingModel", answerType: modelType, errors: []int{404}},
		{method: "GET", path: "/api/models/{id}/uses", tag: tag, summary: "What a model asks for, and which things are made of it", access: reader, params: []string{"modelName", "ticket"}, answer: "ModelUse", errors: []int{404}},
		{method: "POST", path: "/api/models", tag: tag, summary: "Add a Thing Model", access: user, body: "ThingModel", status: 201, answer: "ThingModel", answerType: modelType, errors: []int{400, 409, 413, 422, 429, 503},
			note: "Needs the role engineer. W3C Thing Description 1.1, section 9: placeholders as {{NAME}}, tm:optional, tm:ref, and links with the rel tm:extends, to models of this server."},
		{method: "PUT", path: "/api/models/{id}", tag: tag, summary: "Replace a Thing Model, and with it the things made of it", access: user, params: []string{"modelName", "ifMatch", "ifNoneMatch"}, body: "ThingModel", answer: "ThingModel", answerType: modelType, errors: []int{400, 409, 412, 413, 422, 429, 503},
			note: "Needs the role engineer, and that one may see every thing that is made of it. All of them change at once; 422 names one that would not fit any more, and then nothing changes. 409 when a file has the model."},
		{method: "PATCH", path: "/api/models/{id}", tag: tag, summary: "Change a Thing Model by a JSON Merge Patch", access: user, params: []string{"modelName", "ifMatch"}, body: "MergePatch", answer: "ThingModel", answerType: modelType, errors: []int{400, 404, 409, 412, 413, 422, 503},
			note: "As PUT does."},
		{method: "DELETE", path: "/api/models/{id}", tag: tag, summary: "Remove a Thing Model that nothing is made of", access: user, params: []string{"modelName", "ifMatch"}, status: 204, errors: []int{400, 404, 409, 412, 503},
			note: "Needs the role engineer. 409 names the things that are made of it and the models that use it."},
	}
}
