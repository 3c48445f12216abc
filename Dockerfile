# The UI, then the binary, then an image that holds nothing else.
FROM node:22-bookworm-slim AS ui
WORKDIR /src/web
COPY web/package.json web/package-lock.json ./
RUN npm ci --no-audit --no-fund
COPY web/ ./
# What the screen and the server both say.
COPY realtime/units.json /src/realtime/
RUN npm run build

FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
COPY --from=ui /src/web/dist ./web/dist
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o /echotwin ./cmd/echotwin && mkdir -p /empty

FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /echotwin /echotwin
COPY --from=build --chown=nonroot:nonroot /empty /data
ENV ECHOTWIN_DATA=/data NODE_ENV=production
VOLUME /data
EXPOSE 3000 1883
ENTRYPOINT ["/echotwin"]
