// The network of one region of the tier, as far as Portolan needs it: security groups of its subnets, egress by name through
// the hub's Azure Firewall, and the private names that it resolves. Deploy it once for each region.
targetScope = 'resourceGroup'

@description('The region.')
param location string

@description('Subnet of the nodes that Portolan runs on.')
param nodeSubnet string

@description('Subnet of the addresses that Private Link connects from (NAT of the private link service).')
param privateLinkSubnet string

@description('Subnets of the Application Gateways of all regions.')
param gatewaySubnets array

@description('Subnet of the private endpoints, that of the blob store among them.')
param endpointSubnet string

@description('Name of the hub\'s firewall policy.')
param firewallPolicyName string

@description('Name of the storage account in which the publishers meet.')
param storageAccountName string

@description('Private address of the storage account\'s endpoint in this region.')
param storageAddress string

@description('Resource id of the virtual network that resolves private names.')
param virtualNetwork string

resource nodes 'Microsoft.Network/networkSecurityGroups@2023-11-01' = {
  name: 'nsg-portolan-${location}'
  location: location
  properties: {
    securityRules: [
      {
        name: 'clients-by-private-link'
        properties: {
          description: 'Front Door, by the private link service in front of the internal load balancer.'
          priority: 100
          direction: 'Inbound'
          access: 'Allow'
          protocol: 'Tcp'
          sourceAddressPrefix: privateLinkSubnet
          sourcePortRange: '*'
          destinationAddressPrefix: nodeSubnet
          destinationPortRanges: [
            '80'
            '443'
            '8080'
            '8443'
          ]
        }
      }
      {
        name: 'load-balancer-probes'
        properties: {
          description: 'healthCheckNodePort of the service, because of externalTrafficPolicy: Local.'
          priority: 110
          direction: 'Inbound'
          access: 'Allow'
          protocol: 'Tcp'
          sourceAddressPrefix: 'AzureLoadBalancer'
          sourcePortRange: '*'
          destinationAddressPrefix: nodeSubnet
          destinationPortRange: '30000-32767'
        }
      }
      {
        name: 'nodes-among-themselves'
        properties: {
          description: 'The kubelet\'s probes, scrapers, the cluster\'s name servers.'
          priority: 120
          direction: 'Inbound'
          access: 'Allow'
          protocol: '*'
          sourceAddressPrefix: nodeSubnet
          sourcePortRange: '*'
          destinationAddressPrefix: nodeSubnet
          destinationPortRange: '*'
        }
      }
      {
        name: 'nothing-else'
        properties: {
          priority: 4000
          direction: 'Inbound'
          access: 'Deny'
          protocol: '*'
          sourceAddressPrefix: '*'
          sourcePortRange: '*'
          destinationAddressPrefix: '*'
          destinationPortRange: '*'
        }
      }
      {
        name: 'gateways'
        properties: {
          description: 'Requests and probes to the Application Gateways of all regions, by peering.'
          priority: 100
          direction: 'Outbound'
          access: 'Allow'
          protocol: 'Tcp'
          sourceAddressPrefix: nodeSubnet
          sourcePortRange: '*'
          destinationAddressPrefixes: gatewaySubnets
          destinationPortRanges: [
            '80'
            '443'
          ]
        }
      }
      {
        name: 'private-endpoints'
        properties: {
          description: 'The blob store of the publishers, Key Vault and the registry.'
          priority: 110
          direction: 'Outbound'
          access: 'Allow'
          protocol: 'Tcp'
          sourceAddressPrefix: nodeSubnet
          sourcePortRange: '*'
          destinationAddressPrefix: endpointSubnet
          destinationPortRange: '443'
        }
      }
    ]
  }
}

resource policy 'Microsoft.Network/firewallPolicies@2023-11-01' existing = {
  name: firewallPolicyName
}

resource egress 'Microsoft.Network/firewallPolicies/ruleCollectionGroups@2023-11-01' = {
  parent: policy
  name: 'portolan-${location}'
  properties: {
    priority: 500
    ruleCollections: [
      {
        ruleCollectionType: 'FirewallPolicyFilterRuleCollection'
        name: 'portolan'
        priority: 500
        action: {
          type: 'Allow'
        }
        rules: [
          {
            ruleType: 'ApplicationRule'
            name: 'publisher'
            description: 'Tokens of the workload identity, and the origins of Front Door. Only the publisher needs them.'
            sourceAddresses: [
              nodeSubnet
            ]
            protocols: [
              {
                protocolType: 'Https'
                port: 443
              }
            ]
            targetFqdns: [
              'login.microsoftonline.com'
              'management.azure.com'
              '${storageAccountName}.blob.core.windows.net'
            ]
          }
        ]
      }
    ]
  }
}

resource zone 'Microsoft.Network/privateDnsZones@2020-06-01' = {
  name: 'privatelink.blob.core.windows.net'
  location: 'global'
}

resource store 'Microsoft.Network/privateDnsZones/A@2020-06-01' = {
  parent: zone
  name: storageAccountName
  properties: {
    ttl: 10
    aRecords: [
      {
        ipv4Address: storageAddress
      }
    ]
  }
}

resource link 'Microsoft.Network/privateDnsZones/virtualNetworkLinks@2020-06-01' = {
  parent: zone
  name: location
  location: 'global'
  properties: {
    registrationEnabled: false
    virtualNetwork: {
      id: virtualNetwork
    }
  }
}
